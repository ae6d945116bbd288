"""The path to the peer does everything that a network may: what is carried stays whole.

And everything that the path has made of our peer's datagrams is counted, each once, under what it
was dropped for.
"""

import os
import threading

import pytest

from support import exchange, middle, relay, servers, wait

SIZE = 400_000

# What the path does each way; the relay's counter of that; what we drop for it. Replays come before
# anything that keeps datagrams from arriving, for their later replay would be their first arrival.
DATA_DAMAGED = {"malformed", "unknown_index", "expired_key", "bad_tag"}
PATHS = {
    "late": ({"delay": 30}, None, set()),
    "reordered": ({"delay": 1, "jitter": 3}, None, set()),
    "repeating": ({"duplicate": 20}, "duplicated", {"replayed"}),
    "replaying": ({"replay": 20}, "replayed", {"replayed", "unknown_index", "replayed_handshake"}),
    "lossy": ({"loss": 2, "burst": 3}, None, set()),
    "narrow": ({"rate": 20, "queue": 30}, None, set()),
    "corrupting": ({"corrupt": 3}, "corrupted", DATA_DAMAGED),
    "truncating": ({"truncate": 3}, "truncated", {"malformed", "bad_tag"}),
}
# What is made of a datagram that anybody could have made of it, too.
FORGED = {name: path for name, path in PATHS.items() if path[1]}
EVERYTHING = {"delay": 2, "jitter": 2, "loss": 1, "duplicate": 5, "corrupt": 1, "truncate": 1,
              "replay": 5}


@pytest.fixture(name="outer")
def family_outside():
    return 4


@pytest.fixture(name="between", params=middle.ROLES)
def attacker_between(request, scene, service, account, outer):
    with middle.ROLES[request.param](scene, service, account, outer) as between:
        yield between


def echoed(connection, data):
    """What comes back, while data is sent."""
    writer = threading.Thread(target=connection.sendall, args=(data,))
    writer.start()
    got = servers.read_exactly(connection, len(data))
    writer.join()
    return got


def move_and_compare(between, connection, settings):
    """A transfer over such a path; no state has changed by it."""
    exchange.talk(connection)
    before = between.state()
    data = os.urandom(SIZE)
    between.set("both", **settings)
    assert echoed(connection, data) == data
    between.set("both", **dict.fromkeys(settings, 0))
    exchange.talk(connection)
    assert between.state() == before


@pytest.mark.parametrize("outer, paths", ((4, PATHS), (6, FORGED)), ids=("IPv4", "IPv6"))
def test_each(service, between, serve, far_host, paths):
    """One thing at a time, on one connection."""
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        exchange.talk(connection)
        between.settle()  # what was dropped while the session was made is none of the path's doing
        for name, (settings, counter, reasons) in paths.items():
            dropped = middle.drops(service)
            made = between.counter("in", counter) if counter else 0
            move_and_compare(between, connection, settings)
            grown = middle.drops(service) - dropped
            made = (between.counter("in", counter) if counter else 0) - made
            assert set(grown) <= reasons, name
            assert grown.total() == made, name
            assert bool(made) == bool(counter), name
    assert forward.status()["connections_total"] == 1


def test_everything_at_once(service, between, serve, far_host):
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        move_and_compare(between, connection, EVERYTHING)
    assert {"replayed", "bad_tag"} <= set(middle.drops(service))
    assert forward.status()["connections_total"] == 1


def test_a_response_that_comes_too_late(scene, service, account, serve, far_host):
    """The first initiation's answer is none to the second; that one is answered as well."""
    with middle.we_call(scene, service, account) as between:
        between.set("in", hold=1)
        forward = service.forward((far_host, serve(servers.echo).port))
        with forward.connect() as connection:
            connection.sendall(b"hello")
            wait.until(lambda: len(between.captured("in", relay.RESPONSE)) == 2,
                       "our second initiation is answered")
            between.set("in", hold=0)
            assert servers.read_exactly(connection, 5) == b"hello"
            assert between.state()["our handshakes"] == 1
        found = middle.drops(service)
        # SYNs had been waiting for the session, and only the first one's answer is new.
        found.pop("inner_unacceptable", None)
        assert found == {"unknown_index": 1}
