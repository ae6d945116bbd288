"""openapi.yaml: well-formed, and what the service does.

Schemathesis makes requests from the document, valid and invalid ones, in an order that the links
between the operations suggest, and holds every answer to what the document says of it.
"""

import os
import shutil

import pytest

from support import manytun, tools

DOCUMENT = manytun.ROOT / "openapi.yaml"
FOLDER = manytun.ROOT / "tests" / "openapi"

EXAMPLES = os.environ.get("MANYTUN_SCHEMATHESIS_EXAMPLES", "20")


@pytest.fixture(autouse=True, scope="module")
def need_tools():
    reason = tools.missing_requirement()
    if reason is not None:
        pytest.skip(reason)


def test_the_document_is_lint_clean(tmp_path):
    folder = tools.node_folder(tmp_path / "node")
    shutil.copy(FOLDER / "lint.mjs", folder)
    tools.run(["node", folder / "lint.mjs", DOCUMENT])


def test_the_linter_finds_something(tmp_path):
    """An operation whose response is not there."""
    folder = tools.node_folder(tmp_path / "node")
    shutil.copy(FOLDER / "lint.mjs", folder)
    broken = tmp_path / "openapi.yaml"
    broken.write_text(DOCUMENT.read_text().replace("responses/NotFound'", "responses/Lost'", 1))
    with pytest.raises(AssertionError, match="Can't resolve"):
        tools.run(["node", folder / "lint.mjs", broken])


def test_the_service_does_what_the_document_says(service, tmp_path):
    """Seeded: the same requests in every run, as far as the answers are the same."""
    token = service.create("tokens", {"name": "the-tester-itself", "role": "admin"})["token"]
    command = service.namespace.command([
        "env", "--chdir", tmp_path, f"PYTHONPATH={FOLDER}",  # it keeps files where it runs
        tools.VENV / "schemathesis", "--config-file", FOLDER / "schemathesis.toml", "--no-color",
        "run", DOCUMENT, "--url", "http://127.0.0.1:8585",
        "--header", f"Authorization: Bearer {token}", "--seed", "1", "--max-examples", EXAMPLES])
    print(tools.run(command, timeout=230))


def test_a_generated_python_client_works(service, tmp_path):
    """openapi-python-client's."""
    environment = {**os.environ, "PATH": f"{tools.VENV}:{os.environ['PATH']}"}  # for its formatter
    tools.run([tools.VENV / "openapi-python-client", "generate", "--path", DOCUMENT,
               "--meta", "none", "--output-path", tmp_path / "manytun_client"], env=environment)
    tools.run(service.namespace.command([
        "env", f"PYTHONPATH={tmp_path}", tools.VENV / "python", FOLDER / "client.py",
        "http://127.0.0.1:8585", service.token]))


def test_a_generated_typescript_client_works(service, tmp_path):
    """The types are openapi-typescript's; the program is checked against them by the compiler."""
    folder = tools.node_folder(tmp_path / "node")
    programs = tools.NODE_MODULES / ".bin"
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(FOLDER / "client.ts", folder)
    tools.run([programs / "openapi-typescript", DOCUMENT, "--default-non-nullable", "false",
               "-o", folder / "schema.ts"])
    tools.run([programs / "tsc", "--strict", "--target", "es2022", "--module", "nodenext",
               "--lib", "es2023,dom,dom.asynciterable", "--skipLibCheck", folder / "client.ts"])
    tools.run(service.namespace.command([
        "node", folder / "client.js", "http://127.0.0.1:8585", service.token]))
