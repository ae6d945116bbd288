"""ECN through the tunnel (RFC 6040): a router marks the outside, and the packets inside tell."""

import contextlib

import pytest

from support import servers, wait
from test_capture import Capture, echo
from test_inner_addresses import drops

COUNT = 3
MARKS = """
table inet marks {{
    chain in {{
        type filter hook prerouting priority -300
        udp sport {port} ip ecn set ce
        udp sport {port} ip6 ecn set ce
    }}
}}
"""


@contextlib.contextmanager
def congestion(scene):
    """Every datagram of the peer's comes to us with "congestion experienced"."""
    scene.ours.run("nft", MARKS.format(port=scene.far[0].peer.port))
    yield
    scene.ours.run("nft", "delete", "table", "inet", "marks")


def traffic_class(packet):
    return packet[1] if packet[0] >> 4 == 4 else packet[0] % 16 << 4 | packet[1] >> 4


def is_echo_request(packet):
    if packet[0] >> 4 == 4:
        return packet[9] == 1 and packet[20] == 8
    return packet[6] == 58 and packet[40] == 128


def ping(scene, address, tos):
    """Whether the peer's pings with this TOS byte were answered."""
    sent = scene.far[0].namespace.run("ping", "-c", COUNT, "-i", "0.2", "-W", "1", "-Q", tos,
                                      address, check=False)
    return sent.returncode == 0


@pytest.mark.parametrize("outer", [4, 6])
def test_marks_come_in(scene, service, account, serve, far_host, outer):
    service.create("tunnels", account.tunnel(outer=outer))
    echo(service.forward((far_host, serve(servers.echo).port)))
    before = drops(service, "congested")
    with congestion(scene), Capture(service) as capture:
        for address in (account.v4, account.v6):
            assert ping(scene, address, 0xba)  # ECT(0); the DSCP is its own
            assert not ping(scene, address, 0xb8)  # it would not hear of the mark
        wait.until(lambda: drops(service, "congested") == before + 2 * COUNT, "they are counted")
        service.call("DELETE", "/v1/tunnels/home?cascade=true")
        requests = [packet.bytes for packet in capture.finish() if is_echo_request(packet.bytes)]
    assert [traffic_class(packet) for packet in requests] == [0xbb] * 2 * COUNT
