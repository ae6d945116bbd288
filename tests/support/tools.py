"""Python's and node's tools that scripts/setup --tests installs in .deps/."""

import os
import shutil
import subprocess

from support import manytun

VENV = manytun.ROOT / ".deps" / "venv" / "bin"
NODE_MODULES = manytun.ROOT / ".deps" / "node" / "node_modules"


def missing_requirement():
    """Why these tools cannot be used, or None."""
    if not os.access(VENV / "python", os.X_OK) or not NODE_MODULES.is_dir():
        return "scripts/setup --tests has not been run"
    return None if shutil.which("node") else "node is not installed"


def node_folder(path):
    """path, made a folder in which node finds the packages."""
    path.mkdir(exist_ok=True)
    (path / "node_modules").symlink_to(NODE_MODULES)
    return path


def run(argv, timeout=100, **options):
    """Runs a tool to its end; its output is in the failure."""
    done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False,
                          **options)
    assert done.returncode == 0, f"{argv[0]}: exit {done.returncode}\n{done.stdout}"
    return done.stdout
