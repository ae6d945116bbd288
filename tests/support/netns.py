"""Network namespaces without names.

A namespace lives as long as the process that holds it. The holder reads a pipe from us and every
other program is started with a parent-death signal, so all of it vanishes with the test run,
however that ends, and runs beside each other cannot meet.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def missing_requirement():
    """Why no namespace can be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("unshare", "nsenter", "setpriv", "ip", "nft"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        return f"cannot make a namespace: {probe.stderr.strip()}"
    return None


def _enter(descriptor):
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Namespace:
    """A network namespace with loopback up, and a mount namespace with its own empty /run."""

    def __init__(self):
        script = ("mount -t tmpfs tmpfs /run && mkdir /run/wireguard && ip link set lo up"
                  " && echo ready && exec cat >&2")
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._holder.stdout.readline() != b"ready\n":
            self.close()
            raise RuntimeError("the namespace could not be set up")

    @property
    def pid(self):
        """The process that holds the namespace."""
        return self._holder.pid

    def close(self):
        """Lets the namespace go; it vanishes with the last process in it."""
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait()

    def command(self, argv):
        """The command line that runs argv in here, as the very process that is started."""
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", "--target", str(self.pid), "--net",
                "--mount", "--root", f"--wd={os.getcwd()}", "--", *map(str, argv)]

    def start(self, argv, **options):
        """Starts argv in here; a subprocess.Popen, whose pid is the program's own."""
        return subprocess.Popen(self.command(argv), **options)

    def run(self, *argv, timeout=60, check=True, **options):
        """Runs argv in here to its end; a subprocess.CompletedProcess with its output as text."""
        done = subprocess.run(self.command(argv), capture_output=True, text=True, timeout=timeout,
                              **options)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr}")
        return done

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is in here meanwhile; a socket made in here stays in here."""
        with open("/proc/thread-self/ns/net") as home, open(f"/proc/{self.pid}/ns/net") as here:
            _enter(here.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def connect(self, address, timeout=30, receive_buffer=None):
        """A TCP connection from here to (host, port)."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with self.entered():
            connection = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(timeout)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection

    def listen(self, host="::", port=0, backlog=512):
        """A listening TCP socket in here; "::" takes IPv4 as well."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with self.entered():
            listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind((host, port))
            listener.listen(backlog)
        except OSError:
            listener.close()
            raise
        return listener


class Link:
    """A veth pair between two namespaces, number giving both ends their addresses."""

    def __init__(self, near, far, number):
        self.near4, self.far4 = f"10.99.{number}.1", f"10.99.{number}.2"
        self.near6, self.far6 = f"fd99:{number}::1", f"fd99:{number}::2"
        self.device = name = f"veth{number}"  # at both ends
        near.run("ip", "link", "add", name, "type", "veth", "peer", "name", name,
                 "netns", str(far.pid))
        for namespace, v4, v6 in ((near, self.near4, self.near6), (far, self.far4, self.far6)):
            namespace.run("ip", "address", "add", f"{v4}/24", "dev", name)
            namespace.run("ip", "address", "add", f"{v6}/64", "dev", name, "nodad")
            namespace.run("ip", "link", "set", name, "up")
