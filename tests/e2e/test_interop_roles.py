"""With wireguard-go, whoever calls: IPv4 and IPv6, inside and outside, and what both have counted."""

import pytest

from support import exchange, icmp, servers, wait

PORT = 51000
SIZE = 300_000


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_families(scene, service, account, serve, role, inner, outer):
    """Data both ways, from the address of the target's family; both sides count the same bytes."""
    far = scene.far[0]
    seen = []

    def handle(connection):
        seen.append(connection.getpeername()[0].removeprefix("::ffff:"))
        servers.echo(connection)

    if role == "initiator":
        service.create("tunnels", account.tunnel(outer=outer))
    else:
        service.create("tunnels", exchange.call_us(account, PORT, outer))
    near, host = (account.v4, far.peer.v4) if inner == 4 else (account.v6, far.peer.v6)
    if role == "responder":
        assert icmp.ping(far.namespace, near, timeout=5)
    forward = service.forward((host, serve(handle).port))
    with forward.connect() as connection:
        for _ in range(SIZE // 30_000):
            exchange.talk(connection, 30_000)
    assert seen == [near]
    assert icmp.ping(far.namespace, near)

    def agreed():
        ours, theirs = exchange.transfer(service), far.peer.transfer(account.keys.public)
        return ours if ours == theirs[::-1] else None

    # What still is on its way when the connection has ended: FIN, and its acknowledgement.
    received, sent = wait.until(agreed, "both have counted the same")
    assert received > SIZE and sent > SIZE
    status = exchange.peer_status(service)
    assert status["handshakes_total"] == 1
    outside = far.link.far4 if outer == 4 else f"[{far.link.far6}]"
    assert status["endpoint"] == f"{outside}:{far.peer.port}"


def test_connection_waits_for_the_peer(scene, service, account, serve, far_host):
    """What is sent to a peer that has no endpoint is kept until the peer calls."""
    service.create("tunnels", exchange.call_us(account, PORT))
    forward = service.forward((far_host, serve(servers.echo).port))
    assert "endpoint" not in exchange.peer_status(service)
    with forward.connect() as connection:
        connection.sendall(b"hello")
        wait.until(lambda: exchange.metric(service, "manytun_tunnel_staged_packets"),
                   "a packet waits for the peer")
        exchange.rouse(account)
        assert servers.read_exactly(connection, 5) == b"hello"


def test_both_call_at_once(scene, service, account, serve, far_host):
    """Two handshakes that cross end in one session that both agree on."""
    far = scene.far[0]
    definition = exchange.call_us(account, PORT)
    definition["peers"] = account.tunnel()["peers"]
    service.create("tunnels", definition)
    forward = service.forward((far_host, serve(servers.echo).port))
    with icmp.Ping(far.namespace, account.v4) as pinging, forward.connect() as connection:
        sent = pinging.send()
        exchange.talk(connection)
        assert pinging.answered(sent, 20)
        exchange.talk(connection)


def test_several_inner_addresses(scene, service, account, serve):
    """Each of them is ours; connections come from the first one of the target's family."""
    far = scene.far[0]
    others = ["10.9.77.1", "10.9.77.2", "fd09:77::1", "fd09:77::2"]
    bits = {4: 32, 6: 128}
    far.peer.allow(account.keys.public,
                   [f"{account.v4}/32", f"{account.v6}/128", "10.9.77.0/24", "fd09:77::/64"])
    for prefix in ("10.9.77.0/24", "fd09:77::/64"):
        far.namespace.run("ip", "route", "replace", prefix, "dev", "wg0")

    def prefixes(*addresses):
        return [f"{address}/{bits[6 if ':' in address else 4]}" for address in addresses]

    tunnel = account.tunnel()
    tunnel["addresses"] = prefixes(others[0], account.v6, account.v4, *others[1:])
    service.create("tunnels", tunnel)
    server = serve(lambda connection: connection.sendall(
        connection.getpeername()[0].removeprefix("::ffff:").encode()))
    forwards = [service.forward((host, server.port)) for host in (far.peer.v4, far.peer.v6)]

    def sources():
        return [servers.read_all(forward.connect()).decode() for forward in forwards]

    assert sources() == [others[0], account.v6]
    for address in (account.v4, account.v6, *others):
        assert icmp.ping(far.namespace, address)
    status, answer = service.call("PATCH", "/v1/tunnels/home",
                                  {"addresses": prefixes(*others[1:], account.v4)})
    assert status == 200, answer
    assert sources() == [others[1], others[2]]
    assert not icmp.ping(far.namespace, others[0])
