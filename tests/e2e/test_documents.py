"""What the documents name exists: files, functions, tests, options, fields and endpoints."""

import functools
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FILES = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                       check=True, capture_output=True, text=True).stdout.split()
FILES = [name for name in FILES if (ROOT / name).is_file()]
FOLDERS = {name.split("/")[0] for name in FILES if "/" in name}
DOCUMENTS = [name for name in FILES if name.endswith(".md")]
SOURCES = (".c", ".h", ".py", ".js", ".yaml", ".cmake", ".txt", ".service", ".yml")

# docs/wireguard.md: what its test columns call the programs.
PROGRAMS = {"unit/": "tests/unit/wg/{}_test.c", "e2e/": "tests/e2e/test_{}.py",
            "": "tests/sim/{}_test.c"}


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


@functools.cache
def known_words():
    """What all that is not a document says, with its files' names."""
    names = [name for name in FILES
             if name.endswith(SOURCES) or name.startswith(("scripts/", "tests/bench/", ".ci/"))
             or name == "tests/fuzz/run"]
    text = "\n".join(read(name) for name in names if name != "tests/e2e/test_documents.py")
    return set(re.findall(r"\w+(?:-\w+)*", text)) | {pathlib.PurePath(name).stem for name in FILES}


def code_spans(text):
    """What stands in backticks, outside blocks of code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def exists(path):
    """A file, a folder, a module without its ending, or a pattern with `*`."""
    return any(ROOT.glob(path.rstrip("/"))) or any(ROOT.glob(f"{path}.*"))


def is_path(span):
    return span.split("/")[0] in FOLDERS and re.fullmatch(r"[\w./*-]+/[\w./*-]*", span)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links(document):
    links = re.findall(r"\]\(([^)#\s]+)", read(document))
    folder = (ROOT / document).parent
    missing = [link for link in links if "://" not in link and not (folder / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths(document):
    """Those in backticks; in the documents of a folder, of that folder, too."""
    folder = pathlib.PurePath(document).parent
    missing = [span for span in code_spans(read(document))
               if is_path(span) and not exists(span) and not exists(str(folder / span))]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names(document):
    """Functions, limits, fields, metrics, options and variables of the environment."""
    for span in code_spans(read(document)):
        for name in re.findall(r"--([a-z][\w-]*)", span):
            assert name in known_words(), span
        if re.fullmatch(r"[A-Za-z]\w*_\w*[A-Za-z0-9]", span):
            assert span in known_words(), span


def test_modules_of_the_architecture():
    """The table of folders, and those of what is in some of them."""
    text = read("docs/architecture.md")
    inside = re.findall(r"^In `([\w/]+)/`(.*)\n\n((?:\|.*\n)+)", text, flags=re.M)
    assert inside
    for folder, what, table in inside:
        named = {name for names in re.findall(r"^\| (`.*?) \|", table, flags=re.M)
                 for name in code_spans(names)}
        assert not [name for name in named if not exists(f"{folder}/{name}")], folder
        if "beside" not in what:
            assert not {path.stem for path in (ROOT / folder).glob("*.c")} - named, folder
    for folder, row in re.findall(r"^\| `(\w+)/` \| (.*) \|$", text, flags=re.M):
        for name in code_spans(row):
            assert exists(f"{folder}/{name}") or exists(name), name


def rows(text):
    """Those of the tables of three columns, without the heads."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 3 and not cells[0].startswith(("Rule", "---")):
            yield cells


def test_where_the_rules_of_wireguard_are():
    """Each function is in the file that it is said to be in."""
    for rule, where, _test in rows(read("docs/wireguard.md")):
        text = read("engine/wg/timers.c")
        for span in code_spans(where):
            if re.search(r"\.[ch]$|/", span):
                path = span if "/" in span else f"engine/wg/{span}"
                assert exists(path), (rule, span)
                text = read(path) if (ROOT / path).is_file() else ""
            elif re.fullmatch(r"\w+", span) and not span.isupper():
                assert re.search(rf"\b{span}\b", text), (rule, span)


def test_what_shows_the_rules_of_wireguard():
    """Each test is in the program that it is said to be in; `…` stands for a beginning."""
    program = None
    for rule, _where, tests in rows(read("docs/wireguard.md")):
        for name, span in re.findall(r"((?:unit/|e2e/)?\b[a-z_]+\b)?[ ,]*(?:`([^`]+)`)?", tests):
            found = find_program(name)
            program = read(found) if found else program
            if span and "/" not in span:
                assert re.search(rf"\b{span}\b" if span[0] != "…" else rf"{span[1:]}\(", program), \
                    (rule, span)


def find_program(name):
    """The file that a test's column calls so; None for other words."""
    kind = re.match(r"(?:unit/|e2e/)?", name).group()
    path = PROGRAMS[kind].format(name[len(kind):])
    if kind:
        assert (ROOT / path).exists(), name
    return path if name and (ROOT / path).exists() else None
