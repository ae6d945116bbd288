"""Files large enough that moving them takes seconds, and what proves that they came whole."""

import hashlib
import os

# Bytes of a large file; smaller for a build that is slow.
LARGE = int(os.environ.get("MANYTUN_E2E_MB", "200")) * 1000 * 1000
# How long moving one may take before it counts as stuck, in seconds: no measure of speed.
PATIENCE = 120


class RandomFile:
    """A file of random bytes, and its SHA-256."""

    def __init__(self, path, size):
        self.path = path
        digest = hashlib.sha256()
        with open(path, "wb") as file:
            while size:
                part = os.urandom(min(size, 1 << 20))
                file.write(part)
                digest.update(part)
                size -= len(part)
        self.sha256 = digest.hexdigest()


def sha256_of(path):
    """The hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Download:
    """A curl in a namespace that fetches a URL into a file, beside the test."""

    def __init__(self, namespace, url, path, *options):
        self._path = path
        self._curl = namespace.start(["curl", "-sS", "--fail", "--max-time", PATIENCE, *options,
                                      "--output", path, url])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._curl.kill()
        self._curl.wait()

    @property
    def running(self):
        return self._curl.poll() is None

    def sha256(self):
        """Waits for its end; the SHA-256 of what came."""
        assert self._curl.wait(timeout=PATIENCE) == 0
        return sha256_of(self._path)


class Upload:
    """A curl in a namespace that puts a file, beside the test."""

    def __init__(self, namespace, path, url):
        self._curl = namespace.start(["curl", "-sS", "--fail", "--max-time", PATIENCE,
                                      "--upload-file", path, url])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._curl.kill()
        self._curl.wait()

    def finish(self):
        """Waits for its end."""
        assert self._curl.wait(timeout=PATIENCE) == 0
