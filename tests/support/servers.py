"""What runs behind a peer: a small TCP server with a handler of the test's own, and nginx."""

import contextlib
import shutil
import socket
import subprocess
import threading

from support import wait

CHUNK = 1 << 16


class Server:
    """Accepts in a namespace and runs handler(connection) in a thread of its own for each.

    An exception in a handler is kept in .failures, except that the other side went away.
    """

    def __init__(self, namespace, handler, host="::", port=0):
        self._handler = handler
        self._listener = namespace.listen(host, port)
        self.port = self._listener.getsockname()[1]
        self.failures = []
        self._lock = threading.Lock()
        self._open = set()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def connections(self):
        """How many connections are open now."""
        with self._lock:
            return len(self._open)

    def close(self):
        """Closes the listener and resets what is still open."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                raise
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                self._handler(connection)
        except (ConnectionError, TimeoutError):
            pass
        except Exception as failure:  # pylint: disable=broad-except
            self.failures.append(failure)
        finally:
            with self._lock:
                self._open.discard(connection)


def echo(connection):
    """Sends back everything, then ends its side too."""
    while chunk := connection.recv(CHUNK):
        connection.sendall(chunk)


def read_all(connection):
    """Everything until the other side ends."""
    parts = []
    while chunk := connection.recv(CHUNK):
        parts.append(chunk)
    return b"".join(parts)


def read_exactly(connection, count):
    """Exactly count bytes; ConnectionAbortedError when the other side ends before."""
    parts = []
    while count:
        chunk = connection.recv(min(count, CHUNK))
        if not chunk:
            raise ConnectionAbortedError(f"ended {count} bytes too early")
        parts.append(chunk)
        count -= len(chunk)
    return b"".join(parts)


class Nginx:
    """nginx with one worker: GET and PUT of the files under directory/files."""

    CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    client_max_body_size 0;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 80;
        listen [::]:80 ipv6only=on;
        root {directory}/files;
        dav_methods PUT;
    }}
}}
"""

    def __init__(self, namespace, directory):
        self.files = directory / "files"
        self.files.mkdir()
        configuration = directory / "nginx.conf"
        configuration.write_text(self.CONFIGURATION.format(directory=directory))
        self._process = namespace.start(
            ["nginx", "-c", configuration, "-e", directory / "error.log"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait.until(lambda: self._answers(namespace), "nginx answers")
        except TimeoutError:
            self.close()
            raise

    @staticmethod
    def missing_requirement():
        return None if shutil.which("nginx") else "nginx is not installed"

    @staticmethod
    def _answers(namespace):
        try:
            namespace.connect(("127.0.0.1", 80)).close()
        except ConnectionRefusedError:
            return False
        return True

    def close(self):
        self._process.kill()
        self._process.wait()
