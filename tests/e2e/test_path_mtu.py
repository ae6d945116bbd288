"""Paths behind the peer that take less than the tunnel, with the kernel as the router there."""

import os
import socket
import struct

import pytest

from support import netns, raw, servers, wait
from test_capture import Capture

MTU = 1300
NEAR4, FAR4, NEAR6, FAR6 = "10.77.0.1", "10.77.0.2", "fd77::1", "fd77::2"
AMOUNT = 2_000_000
SMALLEST = 552  # path MTU that Linux believes


@pytest.fixture(name="behind", scope="module")
def namespace_behind_the_peer(scene):
    """A host that is one hop behind the first peer, which knows of its small MTU alone."""
    peer, behind = scene.far[0].namespace, netns.Namespace()
    peer.run("ip", "link", "add", "narrow", "mtu", MTU, "type", "veth", "peer", "name", "narrow",
             "netns", behind.pid)
    for namespace, v4, v6 in ((peer, NEAR4, NEAR6), (behind, FAR4, FAR6)):
        namespace.run("ip", "address", "add", f"{v4}/24", "dev", "narrow")
        namespace.run("ip", "address", "add", f"{v6}/64", "dev", "narrow", "nodad")
        namespace.run("ip", "link", "set", "narrow", "up")
    behind.run("ip", "route", "add", "default", "via", NEAR4)
    behind.run("ip", "-6", "route", "add", "default", "via", NEAR6)
    peer.run("sysctl", "-q", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    peer.run("ip", "route", "replace", "unreachable", "10.78.0.0/16")
    peer.run("ip", "route", "replace", "prohibit", "10.79.0.0/16")
    yield behind
    peer.run("sysctl", "-q", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
    peer.run("ip", "route", "delete", "unreachable", "10.78.0.0/16")
    peer.run("ip", "route", "delete", "prohibit", "10.79.0.0/16")
    peer.run("ip", "link", "delete", "narrow")
    behind.close()


@pytest.fixture(name="wide_tunnel")
def tunnel_to_all(service, account):
    definition = account.tunnel()
    definition["peers"][0]["allowed_ips"] = ["10.0.0.0/8", "fd00::/8"]
    return service.create("tunnels", definition)


def upload(forward):
    """Sends AMOUNT random bytes to a server that answers with their number."""
    with forward.connect() as connection:
        connection.sendall(os.urandom(AMOUNT))
        connection.shutdown(1)
        assert int(servers.read_all(connection)) == AMOUNT


def count_bytes(connection):
    connection.sendall(str(len(servers.read_all(connection))).encode())


def is_too_big(packet):
    """ICMP "fragmentation needed", or ICMPv6 "packet too big"."""
    if packet[0] >> 4 == 6:
        return packet[6] == 58 and packet[40] == 2
    return packet[9] == 1 and packet[20:22] == b"\3\4"


@pytest.mark.usefixtures("wide_tunnel")
@pytest.mark.parametrize("host", (FAR4, FAR6))
def test_segments_get_smaller(service, behind, host):
    with servers.Server(behind, count_bytes) as server:
        forward = service.forward((host, server.port))
        with Capture(service) as capture:
            upload(forward)
            upload(forward)
            service.call("DELETE", "/v1/tunnels/home?cascade=true")
            packets = [packet.bytes for packet in capture.finish()]
    told = [place for place, packet in enumerate(packets) if is_too_big(packet)]
    assert told, "the router has said nothing"
    sent = [(place, len(packet), parsed[0][1]) for place, packet in enumerate(packets)
            if (parsed := raw.parse_tcp(packet)) and parsed[1][0] == host]
    assert max(size for _, size, _ in sent) > MTU  # it was worth telling,
    late = [size for place, size, _ in sent if place > told[-1]]
    assert late and max(late) == MTU  # and is heeded.
    # The second connection, from another port, remembers.
    second = next(place for place, _, port in sent if port != sent[0][2])
    assert told[-1] < second


@pytest.mark.usefixtures("wide_tunnel")
def test_long_packets_vanish_in_silence(service, scene, behind):
    """The router drops them, and nobody says so."""
    peer = scene.far[0].namespace
    peer.run("nft", "add", "table", "ip", "mute")
    peer.run("nft", "add", "chain", "ip", "mute", "mute", "{ type filter hook output priority 0; }")
    peer.run("nft", "add", "rule", "ip", "mute", "mute", "icmp", "type",
             "destination-unreachable", "drop")
    try:
        with servers.Server(behind, count_bytes) as server:
            upload(service.forward((FAR4, server.port)))
    finally:
        peer.run("nft", "delete", "table", "ip", "mute")


@pytest.mark.usefixtures("wide_tunnel", "behind")
def test_a_dial_to_nowhere_fails_at_once(service):
    """The peer's kernel says that there is no such host, or that nobody may go there."""
    for host, why in (("10.78.0.1", "No route to host"), ("10.79.0.1", "Permission denied")):
        forward = service.forward((host, 80))
        with forward.connect() as connection:
            try:
                assert connection.recv(1) == b""
            except ConnectionResetError:
                pass
        error = wait.until(lambda f=forward: f.status().get("last_error"), "the dial has failed")
        assert error["message"] == why


def counted(namespace, protocol, name):
    """A counter of the kernel's, as in /proc/net/snmp."""
    lines = namespace.run("cat", "/proc/net/snmp").stdout.splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith(f"{protocol}: "))
    return int(values[names.index(name)])


def test_nobody_outside_makes_our_datagrams_smaller(scene, service, account, serve, far_host):
    """ICMP for the outer socket: nobody has to say "fragmentation needed", but anybody could."""
    far, port = scene.far[0], 51000
    service.create("tunnels", account.tunnel() | {"listen_port": port})
    forward = service.forward((far_host, serve(count_bytes).port))
    upload(forward)
    link = far.link
    udp = struct.pack("!HHHH", port, far.peer.port, 1400, 0)
    quoted = raw.ip(link.near4, link.far4, socket.IPPROTO_UDP, udp)
    forged = raw.icmp(link.far4, link.near4, 3, 4, SMALLEST, quoted)
    told, cut = (counted(scene.ours, *name) for name in (("Icmp", "InDestUnreachs"),
                                                         ("Ip", "FragCreates")))
    with far.namespace.entered():
        attacker = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with attacker:
        attacker.sendto(forged, (link.near4, 0))
    wait.until(lambda: counted(scene.ours, "Icmp", "InDestUnreachs") == told + 1, "the kernel has it")
    upload(forward)
    assert counted(scene.ours, "Ip", "FragCreates") == cut
