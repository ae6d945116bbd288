"""Searching processes and files for secrets, in the forms that they are written in."""

import base64
import collections
import pathlib
import re

# A part of a secret long enough that nothing else has it.
PART = 16

Found = collections.namedtuple("Found", "label form")


class Secrets:
    """Secrets by their labels. A key is 32 bytes that are known as base64; a token is text."""

    def __init__(self):
        self._patterns = {}

    def add_key(self, label, text):
        raw = base64.b64decode(text)
        self._add(label, "raw", raw[:PART])
        self._add(label, "base64", text.encode()[:2 * PART])
        self._add(label, "hex", raw[:PART].hex().encode())
        self._add(label, "HEX", raw[:PART].hex().upper().encode())

    def add_text(self, label, text):
        self._add(label, "text", text.encode()[-2 * PART:])

    def _add(self, label, form, pattern):
        assert len(pattern) >= PART
        self._patterns[pattern] = Found(label, form)

    def labels(self):
        return {found.label for found in self._patterns.values()}

    def search(self, data):
        """What is in these bytes."""
        return {found for pattern, found in self._patterns.items() if pattern in data}

    def in_process(self, pid):
        """What is in the memory of a process, in its environment and in its command line."""
        found = set()
        for name in ("environ", "cmdline"):
            found |= self.search(pathlib.Path("/proc", str(pid), name).read_bytes())
        for region in _memory(pid):
            found |= self.search(region)
        return found

    def in_files(self, directory):
        """What is in the files of a directory: {file's name: what is in it}."""
        found = {path.name: self.search(path.read_bytes())
                 for path in directory.rglob("*") if path.is_file()}
        return {name: what for name, what in found.items() if what}


def _memory(pid):
    """The contents of every region of a process that it can write to."""
    maps = pathlib.Path("/proc", str(pid), "maps").read_text()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for first, last in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps, re.MULTILINE):
            begin, end = int(first, 16), int(last, 16)
            try:
                memory.seek(begin)
                yield memory.read(end - begin)
            except OSError:  # guarded, or not the program's
                continue
