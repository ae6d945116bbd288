"""Keys that change while a connection goes on, and keys with which no handshake is possible."""

import base64

import pytest

from support import exchange, icmp, servers, topology, wait, wgpeer, wire

PORT = 51000
_P = 2**255 - 19
# The points of small order of Curve25519 and its twist: u = 0, 1, the two of order 8, and p - 1,
# p and p + 1.
LOW_ORDER = [0, 1,
             325606250916557431795983626356110631294008115727848805560023387167927233504,
             39382357235489614581723060781553021112529911719440698176882885853963445705823,
             _P - 1, _P, _P + 1]


@pytest.fixture(name="forward")
def forward_to_echo(service, tunnel, serve, far_host):
    """A forward through "home" to a server that echoes."""
    return service.forward((far_host, serve(servers.echo).port), tunnel=tunnel["name"])


def change(service, patch):
    status, answer = service.call("PATCH", "/v1/tunnels/home", patch)
    assert status == 200, answer


def test_our_private_key(scene, service, account, forward):
    """Where there was a session, one with the new key follows at once, without any traffic."""
    peer = scene.far[0].peer
    keys = wgpeer.KeyPair()
    with forward.connect() as connection:
        exchange.talk(connection)
        peer.allow(keys.public, [f"{account.v4}/32", f"{account.v6}/128"])
        change(service, {"private_key": keys.private})
        wait.until(lambda: peer.latest_handshake(keys.public), "they know the new key")
        exchange.talk(connection)
        assert forward.status()["connections_total"] == 1
    peer.forget(keys.public)


def test_their_private_key(scene, service, account, forward):
    """Ours follows the definition to the peer's new key, theirs goes on to call us."""
    peer = scene.far[0].peer
    former, new = peer.keys, wgpeer.KeyPair()
    with forward.connect() as connection:
        exchange.talk(connection)
        for keys in (new, former):
            peer.change_keys(keys)
            change(service, {"peers": account.tunnel()["peers"]})
            exchange.talk(connection)
            assert exchange.peer_status(service)["public_key"] == keys.public
    assert forward.status()["connections_total"] == 1


def test_our_preshared_key(scene, service, account, forward):
    """It counts from the next handshake on; with the wrong one there is none."""
    peer = scene.far[0].peer
    secret = wgpeer.preshared_key()
    inner = [f"{account.v4}/32", f"{account.v6}/128"]
    with forward.connect() as connection:
        exchange.talk(connection)
        change(service, {"peers": [account.tunnel()["peers"][0] | {"preshared_key": secret}]})
        exchange.talk(connection)  # on the session that there is

        # They begin anew and do not know it: no session.
        ours = service.get("tunnels", "home")["status"]["bound"]["port"]
        endpoint = f"{scene.far[0].link.near4}:{ours}"
        peer.forget(account.keys.public)
        peer.allow(account.keys.public, inner, endpoint=endpoint)
        assert not icmp.ping(scene.far[0].namespace, account.v4)
        assert peer.latest_handshake(account.keys.public) == 0

        peer.forget(account.keys.public)
        peer.allow(account.keys.public, inner, endpoint=endpoint, preshared=secret)
        exchange.rouse(account)
        assert peer.latest_handshake(account.keys.public)
        exchange.talk(connection)


def test_their_preshared_key(scene, service, account, forward):
    """We begin anew and do not know it: no session, until the definition has it, too."""
    peer = scene.far[0].peer
    secret = wgpeer.preshared_key()
    with forward.connect() as connection:
        exchange.talk(connection)
        peer.preshare(account.keys.public, secret)
        exchange.talk(connection)
        before = peer.latest_handshake(account.keys.public)
        change(service, {"peers": []})
        change(service, {"peers": account.tunnel()["peers"]})
        connection.sendall(b"hello")
        wait.until(lambda: exchange.peer_status(service)["tx_bytes_total"] >= 148, "we have called")
        assert exchange.peer_status(service)["handshakes_total"] == 0
        change(service, {"peers": []})
        change(service, {"peers": [account.tunnel()["peers"][0] | {"preshared_key": secret}]})
        assert servers.read_exactly(connection, 5) == b"hello"
        assert peer.latest_handshake(account.keys.public) >= before


def test_low_order_keys(scene, service, serve):
    """Keys with which everybody would have the same secret: nothing leaves for them."""
    far = scene.far[0]
    keys = wgpeer.KeyPair()
    peers = [{"name": f"low{n}", "endpoint": f"{far.link.far4}:{far.peer.port}",
              "public_key": base64.b64encode(u.to_bytes(32, "little")).decode(),
              "allowed_ips": [f"10.9.0.{n}/32"], "keepalive_seconds": 1}
             for n, u in enumerate(LOW_ORDER)]
    with wire.Capture(far.namespace, "veth1") as capture:
        service.create("tunnels", {"name": "home", "private_key": keys.private,
                                   "addresses": ["10.9.0.200/32"], "listen_port": PORT,
                                   "peers": peers})
        dials = [service.forward((f"10.9.0.{n}", 1), connect_timeout_seconds=1).connect()
                 for n in range(len(peers))]
        for connection in dials:
            with connection, pytest.raises(ConnectionResetError):
                connection.recv(1)
        for peer in service.get("tunnels", "home")["status"]["peers"]:
            assert peer["tx_bytes_total"] == 0 and peer["handshakes_total"] == 0
        # One that works is the last thing on the link, so all before it has been seen.
        with topology.Account(far) as account:
            service.create("tunnels", account.tunnel("other") | {"listen_port": PORT + 1})
            port = serve(servers.echo).port
            service.forward((far.peer.v4, port), tunnel="other").connect().close()
            wait.until(lambda: capture.messages(source=PORT + 1), "the other tunnel's initiation")
        assert not capture.messages(source=PORT)


def test_own_key(service, account):
    """The tunnel's own public key is nobody's but its own."""
    definition = account.tunnel()
    definition["peers"][0]["public_key"] = account.keys.public
    status, answer = service.call("POST", "/v1/tunnels", definition)
    assert (status, [error["code"] for error in answer["errors"]]) == (422, ["own_key"])
