"""A peer takes no initiation that is older than one it has seen: what was sent outlives crashes.

The wall clock of a test machine cannot be set. What the program has on disk can: a bound in the
future is what a clock that was ahead leaves behind, and after it the real clock is one that was
set back.
"""

import contextlib
import os
import signal
import sqlite3
import time

from support import servers, wait

YEAR = 365 * 86400 * 10**9


@contextlib.contextmanager
def database(service):
    """The service's database, while it is stopped."""
    with contextlib.closing(sqlite3.connect(service.data / "manytun.db")) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:
            yield connection


def answered(forward, timeout=3):
    """Whether a connection through the forward is answered in time: before a second initiation."""
    with contextlib.suppress(TimeoutError), forward.connect(timeout=timeout) as connection:
        connection.sendall(b"x")
        return connection.recv(1) == b"x"
    return False


def test_clock_set_back_while_it_was_down(service, tunnel, serve, far_host):
    """After a clock that was ahead for a while, restarts and crashes are survived."""
    forward = service.forward((far_host, serve(servers.echo).port))
    assert answered(forward)
    service.kill()
    ahead = time.time_ns() + YEAR
    with database(service) as rows:
        rows.execute("UPDATE tunnel_timestamps SET may_reach = ?", (ahead,))
    service.start()
    assert answered(forward)  # the peer has seen a time that is a year ahead
    service.kill()
    service.start()
    assert answered(forward)

    # wireguard-go takes no second initiation of a peer within 20 ms.
    began = time.monotonic()
    wait.until(lambda: time.monotonic() > began + 0.1, "the peer takes another initiation")
    for pid in service.workers():
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: service.get("tunnels", tunnel["name"])["status"]["conditions"][0]["status"]
               == "True", "the worker runs again")
    assert answered(forward)
    service.kill()

    # Who does not know what was sent is not answered: the peer has not forgotten.
    with database(service) as rows:
        rows.execute("DELETE FROM tunnel_timestamps")
    service.start()
    assert not answered(forward)
