"""Our program under test: the service with its API, or one shot."""

import collections
import ctypes
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

from support import wait

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MANYTUN", ROOT / "build" / "manytun")).absolute()
FLOOD = BINARY.parent / "tests" / "flood"
SWARM = BINARY.parent / "tests" / "swarm"
API_PORT = 8585

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

Response = collections.namedtuple("Response", "status headers body")


def missing_requirement():
    """Why the program cannot be tested, or None."""
    return None if os.access(BINARY, os.X_OK) else f"{BINARY} is not built"


def children(pid):
    """The processes that pid started and that run (zombies are left out)."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(entry))
    return sorted(found)


def _state(pid):
    """The letter of proc(5), or None when there is no such process."""
    try:
        stat = pathlib.Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()[0]


def alive(pid):
    """Whether the process exists and is no zombie."""
    return _state(pid) not in (None, "Z")


def is_stopped(pid):
    """Whether a SIGSTOP has taken effect."""
    return _state(pid) == "T"


def resident_bytes(pid):
    """What the process holds in memory."""
    status = pathlib.Path("/proc", str(pid), "status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024


def family(pid):
    """The process and all below it."""
    found = [pid]
    for child in children(pid):
        found += family(child)
    return found


def cpu_seconds(*pids):
    """User and system time that these processes have used."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    """How many file descriptors the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class NamespaceConnection(http.client.HTTPConnection):
    """HTTP from inside a namespace."""

    def __init__(self, namespace, address):
        super().__init__(*address, timeout=30)
        self._namespace = namespace

    def connect(self):
        self.sock = self._namespace.connect((self.host, self.port), timeout=self.timeout)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """The admin, on one connection that is kept. Use as a context manager."""

    def __init__(self, connection, headers=None):
        self._connection = connection
        self._headers = headers or {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def call(self, method, path, document=None, headers=None):
        """A Response whose body is the JSON answer, or None."""
        body = None if document is None else json.dumps(document).encode()
        kind = {"Accept": "application/json"}
        if document is not None:
            kind["Content-Type"] = "application/json"
        self._connection.request(method, path, body,
                                 {**self._headers, **kind, **(headers or {})})
        answer = self._connection.getresponse()
        text = answer.read()
        return Response(answer.status, answer.headers, json.loads(text) if text else None)

    def open(self, method, path, headers=None):
        """The answer, whose body is still to be read."""
        self._connection.request(method, path, headers={**self._headers, **(headers or {})})
        return self._connection.getresponse()

    def list(self, kind):
        """All objects of a kind ("tunnels", "forwards"), by name, over all pages."""
        found, path = {}, f"/v1/{kind}?limit=500"
        while path is not None:
            answer = self.call("GET", path)
            assert answer.status == 200, answer
            found.update((item["name"], item) for item in answer.body["items"])
            cursor = answer.body.get("next_cursor")
            path = f"/v1/{kind}?limit=500&cursor={cursor}" if cursor else None
        return found


class Adopted:
    """A process that our child started and left to us; as much of a Popen as a Service needs."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=20):
        wait.until(lambda: self.poll() is not None, f"process {self.pid} has ended", timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Service:
    """`manytun serve` in a namespace. Stopping and starting keeps the data directory."""

    def __init__(self, namespace, directory, *arguments, data=None):
        self.namespace = namespace
        self.data = data or directory / "data"
        self.log_path = directory / "manytun.log"
        self.address = ("127.0.0.1", API_PORT)
        # Tests end a service with connections open, and do not wait for them unless they say so.
        self._arguments = ("--drain-seconds", "0", *arguments)
        self._process = None

    @property
    def pid(self):
        return self._process.pid

    @property
    def token(self):
        return (self.data / "admin.token").read_text().strip()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self):
        """Starts it and waits until it answers."""
        self.launch()
        wait.until(self.is_ready, "the service is ready")
        return self

    def launch(self, *arguments):
        """Starts it, with more arguments, and does not wait."""
        with open(self.log_path, "ab") as log:
            self._process = self.namespace.start(
                [BINARY, "serve", "--data", self.data, *self._arguments, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start_takeover(self, *arguments):
        """Starts a second one that takes over from this one; the process of this one."""
        former = self._process
        self.launch("--takeover", *arguments)
        return former

    def take_over(self, *arguments):
        """The same, and waits until this one has ended."""
        former = self.start_takeover(*arguments)
        try:
            code = former.wait(timeout=30)
        except subprocess.TimeoutExpired:
            former.kill()
            former.wait()
            raise
        assert code == 0, self.log
        wait.until(self.is_ready, "the service is ready")

    def upgrade(self):
        """Lets it start its own successor, and waits until it has ended."""
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # as a service manager is
        former = self._process
        seen = len(self.log)
        former.send_signal(signal.SIGUSR2)
        started = wait.until(lambda: re.search(r"started as process (\d+)", self.log[seen:]),
                             "a newer program is started")
        code = former.wait(timeout=30)
        self._process = Adopted(int(started.group(1)))
        assert code == 0, self.log
        wait.until(self.is_ready, "the service is ready")

    def is_ready(self):
        """Whether it is; it may not have ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the service ended with {self._process.returncode}:\n{self.log}")
        return self._answers()

    def _answers(self):
        try:
            return self.request("GET", "/readyz", unix=True).status == 200
        except OSError:
            return False

    def wait(self, timeout=20):
        """Waits until it has ended by itself; the exit code."""
        code = self._process.wait(timeout=timeout)
        self._process = None
        return code

    def wait_until_ready_or_ended(self):
        """The exit code if it ended instead of getting ready, else None."""
        wait.until(lambda: self._process.poll() is not None or self._answers(),
                   "the service is ready or has ended")
        return None if self._process.poll() is None else self.wait()

    def workers(self):
        """The worker processes that run now."""
        return children(self.pid)

    def stop(self):
        """Ends it as systemd would; the exit code. Its workers are gone then, too."""
        return self._end(signal.SIGTERM)

    def kill(self):
        """Ends it without a warning; its workers must end by themselves."""
        return self._end(signal.SIGKILL)

    def signal(self, number):
        """Sends it a signal."""
        self._process.send_signal(number)

    def _end(self, number):
        if self._process is None:
            return None
        workers = self.workers()
        self._process.send_signal(number)
        try:
            code = self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None
        wait.until(lambda: not any(map(alive, workers)), "the workers have ended")
        return code

    def request(self, method, path, body=None, headers=None, unix=False):
        """One raw request: body is bytes or None, nothing is added to headers."""
        if unix:
            connection = _UnixConnection(self.data / "api.sock")
        else:
            connection = NamespaceConnection(self.namespace, self.address)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def client(self, unix=True):
        """A Client over the Unix socket, or over TCP with the token."""
        if unix:
            return Client(_UnixConnection(self.data / "api.sock"))
        return Client(NamespaceConnection(self.namespace, self.address),
                      {"Authorization": f"Bearer {self.token}"})

    def call(self, method, path, document=None):
        """A request of the admin: (status, JSON answer or None)."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document).encode()
        answer = self.request(method, path, body, headers)
        return answer.status, json.loads(answer.body) if answer.body else None

    def create(self, kind, document):
        """Creates a tunnel or a forward ("tunnels", "forwards"); the object that was made."""
        status, answer = self.call("POST", f"/v1/{kind}", document)
        assert status == 201, answer
        return answer

    def delete(self, kind, name):
        status, answer = self.call("DELETE", f"/v1/{kind}/{name}")
        assert status == 204, answer

    def get(self, kind, name):
        status, answer = self.call("GET", f"/v1/{kind}/{name}")
        assert status == 200, answer
        return answer

    def forward(self, target, tunnel="home", **more):
        """A forward from a free port of 127.0.0.1 to target (host, port); a Forward."""
        host, port = target
        document = {"tunnel": tunnel, "listen": {"address": "127.0.0.1", "port": 0},
                    "target": {"host": host, "port": port}, **more}
        return Forward(self, self.create("forwards", document))


class Forward:
    """A forward that the service made."""

    def __init__(self, service, document):
        self._service = service
        self.name = document["name"]
        bound = document["status"]["bound"]
        self.address = (bound["address"], bound["port"])

    def url(self, path):
        host, port = self.address
        return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"

    def connect(self, **options):
        return self._service.namespace.connect(self.address, **options)

    def status(self):
        return self._service.get("forwards", self.name)["status"]

    def delete(self):
        self._service.delete("forwards", self.name)
