"""An attacker who sees all datagrams and can send any, from anywhere, but has no key.

He changes neither where each side takes the other to be nor its session, and what he sends is
counted under what it was dropped for, exactly.
"""

import base64
import collections
import os
import struct
import threading

import pytest

from support import exchange, middle, relay, servers, wait, wire

REJECT_AFTER_MESSAGES = 2**64 - 2**13 - 1
# Seconds for an echo: a side that sends elsewhere is set right by the other's next keepalive (10).
PROMPT = 5
RETRIES = 40  # seconds: a handshake message is sent again each 5


@pytest.fixture(name="outer", params=(4, 6), ids=("IPv4", "IPv6"))
def family_outside(request):
    return request.param


@pytest.fixture(name="between", params=middle.ROLES)
def attacker_between(request, scene, service, account, outer):
    with middle.ROLES[request.param](scene, service, account, outer) as between:
        yield between


@pytest.fixture(name="connection")
def lasting_connection(service, between, serve, far_host):  # pylint: disable=unused-argument
    """A connection through the tunnel that all of a test goes over."""
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        exchange.talk(connection)
        connection.settimeout(PROMPT)
        yield connection
        exchange.talk(connection)
    assert forward.status()["connections_total"] == 1


def inject(between, way, datagram):
    """From where the receiver knows the other side to be, and from elsewhere: two datagrams."""
    between.inject(way, datagram)
    between.inject(way, datagram, stranger=True)


def attack_in_vain(service, between, connection, ways):
    """What we drop while datagrams {way: [datagram]} come amid traffic; no state has changed."""
    before, dropped = between.state(), middle.drops(service)
    for way, datagrams in ways.items():
        for datagram in datagrams:
            inject(between, way, datagram)
            exchange.talk(connection)
    assert between.state() == before
    return middle.drops(service) - dropped


def test_data_again(service, between, connection):
    for _ in range(20):
        exchange.talk(connection, 3000)
    again = {way: between.captured(way, relay.DATA)[-30:] for way in ("in", "out")}
    assert attack_in_vain(service, between, connection, again) == {"replayed": 60}


def test_handshakes_again(service, between, connection):
    """An initiation that was consumed, and a response whose handshake is over."""
    again = {way: between.captured(way, relay.INITIATION) + between.captured(way, relay.RESPONSE)
             for way in ("in", "out")}
    assert len(again["in"]) == len(again["out"]) == 1
    reason = {relay.INITIATION: "replayed_handshake", relay.RESPONSE: "unknown_index"}
    assert attack_in_vain(service, between, connection, again) == {reason[again["in"][0][0]]: 2}


def with_macs(message, public_key):
    return wire.with_mac1(message, public_key) + wire.NO_COOKIE


def forgeries(public_key, index, datagram):
    """(Reason, datagram): for the owner of that key, with a session of that index and its data."""
    unknown = bytes(byte ^ 0xff for byte in index)
    data, response, cookie_reply = (struct.pack("<I", kind) for kind in
                                    (wire.DATA, wire.RESPONSE, wire.COOKIE_REPLY))
    for malformed in (b"", b"\4", data, data + index + bytes(23), bytes(148),
                      b"\5" + datagram[1:], datagram[:3] + b"\1" + datagram[4:],
                      wire.junk_initiation(public_key)[:-1], response + bytes(89),
                      cookie_reply + bytes(61)):
        yield "malformed", malformed
    yield "bad_mac1", wire.junk_initiation(os.urandom(32))
    yield "bad_mac1", response + os.urandom(88)
    yield "handshake", wire.junk_initiation(public_key)
    for receiver in (index, unknown):  # the index of a session is none of a handshake
        yield "unknown_index", with_macs(response + os.urandom(4) + receiver + os.urandom(48),
                                         public_key)
    yield "handshake", cookie_reply + index + os.urandom(56)
    yield "unknown_index", cookie_reply + unknown + os.urandom(56)
    yield "unknown_index", data + unknown + datagram[8:]
    yield "expired_key", data + index + struct.pack("<Q", REJECT_AFTER_MESSAGES) + datagram[16:]
    yield "bad_tag", data + index + struct.pack("<Q", REJECT_AFTER_MESSAGES - 1) + datagram[16:]
    yield "bad_tag", datagram[:8] + struct.pack("<Q", 1 << 40) + datagram[16:]
    yield "bad_tag", datagram[:-1] + bytes((datagram[-1] ^ 1,))
    yield "bad_tag", datagram[:-1]
    yield "bad_tag", data + index + bytes(8 + 60000)


def test_forgeries(service, between, connection):
    public_key = base64.b64decode(service.get("tunnels", "home")["public_key"])
    datagram = between.captured("in", relay.DATA)[-1]
    forged = list(forgeries(public_key, datagram[4:8], datagram))
    expected = collections.Counter(reason for reason, _ in forged for _ in range(2))
    dropped = attack_in_vain(service, between, connection,
                             {"in": [message for _, message in forged]})
    assert dropped == expected


def test_rebinding(service, between, connection):
    """A translator in between forgets the initiator: the other side follows, amid a transfer."""
    before = between.state()
    data = os.urandom(2_000_000)
    got = []
    reader = threading.Thread(target=lambda: got.append(servers.read_exactly(connection,
                                                                            len(data))))
    reader.start()
    quarter = len(data) // 4
    for number in range(4):
        between.path.rebind()
        between.caller_speaks()
        connection.sendall(data[number * quarter:(number + 1) * quarter])
    reader.join()
    assert got == [data]
    after = before | {between.caller: relay.text(between.path.outside())}
    wait.until(lambda: between.state() == after, "the caller is where it was heard from last")


def test_cookie_reply_again(scene, service, account, serve, far_host):
    """A real one: it answers a message that has been given up since."""
    far = scene.far[0]
    with middle.we_call(scene, service, account) as between:
        forward = service.forward((far_host, serve(servers.echo).port),
                                  connect_timeout_seconds=RETRIES)
        with wire.Flood(far.namespace, far.peer.port, base64.b64decode(far.peer.keys.public)):
            connection = forward.connect(timeout=RETRIES)
            with connection:
                exchange.talk(connection)
                replies = between.captured("in", relay.COOKIE_REPLY)
                assert replies
        with forward.connect() as connection:
            exchange.talk(connection)
            assert attack_in_vain(service, between, connection, {"in": replies}) == \
                {"unknown_index": 2 * len(replies)}
