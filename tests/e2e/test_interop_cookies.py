"""Cookies between us and wireguard-go: whoever is under load demands one, and then shakes hands."""

import base64

import pytest

from support import exchange, icmp, servers, wait, wire

PORT = 51000
RETRIES = 40  # seconds: a handshake message is sent again each 5, and any of them may be lost


@pytest.fixture(name="capture")
def capture_of_the_link(scene):
    with wire.Capture(scene.far[0].namespace, "veth1") as capture:
        yield capture


def first_with_cookie(capture, source):
    """The first initiation from that port that has a mac2."""
    return next((message for message in capture.messages(kind=wire.INITIATION, source=source)
                 if message.mac2 != wire.NO_COOKIE), None)


def check(capture, initiator, responder):
    """A cookie was sent, and the handshake was done with it."""
    replies = capture.messages(kind=wire.COOKIE_REPLY, source=responder, destination=initiator)
    assert replies and all(message.length == 64 for message in replies)
    assert capture.messages(kind=wire.INITIATION, source=initiator)[0].mac2 == wire.NO_COOKIE
    assert first_with_cookie(capture, initiator)
    assert capture.messages(kind=wire.RESPONSE, source=responder, destination=initiator)


def test_they_are_under_load(scene, service, account, serve, far_host, capture):
    """We repeat our initiation with the cookie that they have sent."""
    far = scene.far[0]
    service.create("tunnels", account.tunnel() | {"listen_port": PORT})
    forward = service.forward((far_host, serve(servers.echo).port),
                              connect_timeout_seconds=RETRIES)
    with wire.Flood(far.namespace, far.peer.port, base64.b64decode(far.peer.keys.public)):
        with forward.connect(timeout=RETRIES) as connection:
            exchange.talk(connection)
    check(capture, PORT, far.peer.port)


def test_we_are_under_load(scene, service, account, capture):
    """They repeat theirs with our cookie; what came without is counted."""
    far = scene.far[0]
    ours = service.create("tunnels", exchange.call_us(account, PORT))
    with wire.Flood(scene.ours, PORT, base64.b64decode(ours["public_key"])), \
            icmp.Ping(far.namespace, account.v4) as pinging:
        wait.until(lambda: pinging.answered(pinging.send(), 1), "they are let in", RETRIES)
    assert exchange.metric(service, "manytun_worker_dropped_packets_total",
                           reason="cookie_needed")
    check(capture, far.peer.port, PORT)
