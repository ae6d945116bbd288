"""Who may say what inside a tunnel: a peer that sends whatever it likes through wireguard-go."""

import re

import pytest

from support import pcap, raw, servers, wait, wgpeer
from test_capture import Capture, echo

COUNT = 3


def drops(service, reason):
    """Packets that all workers have dropped for this reason."""
    token = {"Authorization": f"Bearer {service.token}"}
    text = service.request("GET", "/metrics", headers=token).body.decode()
    pattern = rf'^manytun_worker_dropped_packets_total\{{.*reason="{reason}"\}} (\d+)$'
    return sum(map(int, re.findall(pattern, text, re.MULTILINE)))


@pytest.fixture(name="open_tunnel")
def tunnel_with_any_allowed_ips(service, account):
    """Whatever the peer sends is within its allowed IPs."""
    definition = account.tunnel()
    definition["peers"][0]["allowed_ips"] = ["0.0.0.0/0", "::/0"]
    return service.create("tunnels", definition)


def syns(sources, destination):
    """SYNs to a closed port; each that is let in is answered with a RST."""
    return [raw.tcp((source, 4000 + n), (destination, 9), raw.SYN)
            for source in sources for n in range(COUNT)]


@pytest.mark.usefixtures("open_tunnel")
def test_impossible_sources(scene, service, account, serve, far_host):
    """Dropped although the allowed IPs have them, and counted; nothing of it reaches the stack."""
    peer = scene.far[0].peer
    echo(service.forward((far_host, serve(servers.echo).port)))
    bad4 = ["127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255", "0.0.0.0", account.v4]
    bad6 = ["::1", "ff02::1", "::", "::ffff:127.0.0.1", account.v6]
    good = ["192.0.2.7", "10.9.0.1", "2001:db8::7", "fd09::1"]
    before = drops(service, "bad_source")
    with Capture(service) as capture:
        raw.send(peer, *syns(bad4, account.v4), *syns(bad6, account.v6),
                 *syns(good[:2], account.v4), *syns(good[2:], account.v6))
        wait.until(lambda: drops(service, "bad_source")
                   == before + COUNT * (len(bad4) + len(bad6)), "all of them are counted")
        service.call("DELETE", "/v1/tunnels/home?cascade=true")
        seen = [*filter(None, (raw.parse_tcp(packet.bytes) for packet in capture.finish()))]
    sources = {item[0][0] for item in seen if item[4] == raw.SYN and item[1][1] == 9}
    assert sources == set(good)
    answers = [item for item in seen if item[4] & raw.RST and item[0][1] == 9]
    assert {item[1][0] for item in answers} == set(good) and len(answers) == COUNT * len(good)


@pytest.mark.usefixtures("tunnel")
def test_sources_beyond_the_allowed_ips(scene, service, account, serve, far_host):
    echo(service.forward((far_host, serve(servers.echo).port)))
    before = drops(service, "bad_source")
    raw.send(scene.far[0].peer, *syns(["192.0.2.7"], account.v4), *syns(["fd10::7"], account.v6))
    wait.until(lambda: drops(service, "bad_source") == before + 2 * COUNT, "they are counted")


@pytest.mark.usefixtures("tunnel")
def test_what_the_stack_refuses(scene, service, account, serve, far_host):
    """By reason: fragments, damage, other protocols, closed ports."""
    peer = scene.far[0].peer
    echo(service.forward((far_host, serve(servers.echo).port)))
    good = raw.tcp(("10.9.0.1", 1), (account.v4, 9), raw.SYN)
    damaged = good[:-1] + bytes([good[-1] ^ 1])
    packets = {
        "inner_fragment": [raw.ip("10.9.0.1", account.v4, 6, bytes(24), 0x2000),
                           raw.ip("10.9.0.1", account.v4, 6, bytes(24), 3),
                           raw.ip("fd09::1", account.v6, 44, bytes([6, 0, 0, 1, 0, 0, 0, 1]))],
        "inner_malformed": [damaged],
        "inner_protocol": [raw.ip("10.9.0.1", account.v4, 17, bytes(8)), good],
    }
    before = {reason: drops(service, reason) for reason in packets}
    for reason, items in packets.items():
        raw.send(peer, *items)
        wait.until(lambda r=reason, i=items: drops(service, r) == before[r] + len(i), reason)


def test_another_tunnel_cannot_touch_a_connection(scene, service, tunnel, account, serve):
    """Two tunnels with the same address; the peer of one sends the other's very packets."""
    keys, (mine, foreign) = wgpeer.KeyPair(), scene.far
    foreign.peer.allow(keys.public, [f"{account.v4}/32", f"{account.v6}/128"])
    definition = account.tunnel("other")
    definition["private_key"] = keys.private
    definition["peers"][0]["public_key"] = foreign.peer.keys.public
    definition["peers"][0]["endpoint"] = f"{foreign.link.far4}:{foreign.peer.port}"
    service.create("tunnels", definition)
    forward = service.forward((mine.peer.v4, serve(servers.echo).port))
    echo(service.forward((foreign.peer.v4, serve(servers.echo, far=1).port), tunnel="other"))
    with Capture(service) as capture, forward.connect() as connection:
        connection.sendall(b"first")
        assert servers.read_exactly(connection, 5) == b"first"
        wait.until(lambda: capture.data.count(b"first") == 2, "it is captured")
        segments = map(raw.parse_tcp, (item.bytes for item in pcap.read(capture.data)))
        source, target, seq, ack, *_ = [item for item in segments if item[5] == b"first"][-1]
        assert target[0] == account.v4
        before = drops(service, "inner_protocol")
        forged = [raw.tcp(source, target, flags, seq + 5, ack, data)
                  for flags, data in ((raw.RST, b""), (raw.RST | raw.ACK, b""),
                                      (raw.FIN | raw.ACK, b""), (raw.ACK | raw.PSH, b"forged"),
                                      (raw.SYN, b""))]
        raw.send(foreign.peer, *forged)
        wait.until(lambda: drops(service, "inner_protocol") == before + len(forged), "they came")
        connection.sendall(b"second")
        assert servers.read_exactly(connection, 6) == b"second"
        service.call("DELETE", "/v1/tunnels/home?cascade=true")
        assert b"forged" not in b"".join(item.bytes for item in capture.finish())
    service.call("DELETE", "/v1/tunnels/other?cascade=true")
    foreign.peer.forget(keys.public)
    assert tunnel["name"] == "home"
