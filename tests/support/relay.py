"""The bad network between two sides: tests/relay, steered while it runs."""

import os
import subprocess

from support import manytun

BINARY = manytun.BINARY.parent / "tests" / "relay"
INITIATION, RESPONSE, COOKIE_REPLY, DATA = 1, 2, 3, 4  # kinds of captured datagrams


def missing_requirement():
    """Why it cannot run here, or None."""
    return None if os.access(BINARY, os.X_OK) else f"{BINARY} is not built"


def text(address):
    """(host, port) as in an endpoint."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(written):
    host, _, port = written.rpartition(":")
    return host.strip("[]"), int(port)


class Relay:
    """Runs in a namespace between those who send to .address and the target (host, port).

    Everybody who sends to .address gets a port of their own towards the target, as behind NAT.
    "up" is to the target, "down" is back. Use as a context manager.
    """

    def __init__(self, namespace, target, listen=("127.0.0.1", 0), seed=1):
        self._process = namespace.start([BINARY, text(listen), text(target), seed],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = self._process.stdout.readline()
        if not first:
            self.close()
            raise RuntimeError("the relay does not start")
        self.address = _address(first.strip())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """It ends with its input."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    @property
    def pid(self):
        return self._process.pid

    @property
    def endpoint(self):
        """.address as a peer's endpoint."""
        return text(self.address)

    def set(self, direction, **settings):
        """Changes "up", "down" or "both".

        delay and jitter in ms; loss, duplicate, corrupt, truncate and replay in percent; burst, the
        mean length of a run of losses; rate in Mbit/s and queue in kB; hold, 1 or 0.
        """
        self._ask("set", direction, *(f"{key}={value:g}" for key, value in settings.items()))

    def counters(self):
        """What happened, by names as "up.lost"."""
        pairs = (word.split("=") for word in self._ask("counters"))
        return {name: int(value) for name, value in pairs}

    def outside(self, client=0):
        """The (host, port) that the target sees, of the client that came as number `client`."""
        return _address(self._ask("flows")[client].split("=")[1])

    def captured(self, direction, kind):
        """The last datagrams of a kind that came in, oldest first."""
        return [bytes.fromhex(word) for word in self._ask("captured", direction, kind)]

    def inject(self, direction, datagram, source=None):
        """Sends a datagram at once, from a source (host, port) of its own if one is given."""
        self._ask("inject", direction, datagram.hex() or "-",
                  *([] if source is None else [text(source)]))

    def rebind(self, address=None):
        """Everybody gets a new port towards the target, and a new address if one is given."""
        self._ask("rebind", *([] if address is None else [address]))

    def _ask(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if not answer or answer[0] != "ok":
            raise RuntimeError(f"the relay to {words[0]}: {' '.join(answer) or 'it has ended'}")
        return answer[1:]
