"""The status page in Chromium (tests/web/browser), each file with a service as it needs it."""

import os
import pathlib
import shutil
import subprocess

import pytest

from support import manytun

WEB = manytun.ROOT / "tests" / "web"
DEPENDENCIES = manytun.ROOT / ".deps" / "node" / "node_modules" / "playwright-core"


def missing_requirement():
    """Why the page cannot be tested here, or None."""
    for program in ("node", "chromium"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None if DEPENDENCIES.is_dir() else "scripts/setup --tests has not been run"


@pytest.fixture(autouse=True, scope="module")
def browser():
    reason = missing_requirement()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def shots():
    """Where screenshots go; docs/screenshots is refreshed by naming it."""
    default = manytun.ROOT / "build" / "results" / "page"
    folder = pathlib.Path(os.environ.get("MANYTUN_SHOTS", default)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def run_browser(scene, shots):
    """run_browser(service, name): the tests of tests/web/browser/<name>.test.js pass."""
    def run(service, name):
        host, port = service.address
        environment = {**os.environ, "MANYTUN_URL": f"http://{host}:{port}",
                       "MANYTUN_TOKEN": service.token, "MANYTUN_SHOTS": str(shots)}
        done = scene.ours.run("node", "--test", WEB / "browser" / f"{name}.test.js", timeout=200,
                              check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_modules():
    """What is computed, without a browser."""
    done = subprocess.run(["node", "--test", WEB / "unit"], capture_output=True, text=True,
                          timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_empty(service, run_browser):
    """Signing in, and the first objects."""
    run_browser(service, "empty")
