"""Either side moves, to another port, address or family, and the connections stay."""

import pytest

from support import exchange, icmp, servers, topology, wait

PORT = 51000
MOVED = 51001


@pytest.fixture(name="scene", scope="module")
def scene_of_its_own(tmp_path_factory):
    """One peer, whose addresses and port these tests change."""
    with topology.Topology(tmp_path_factory.mktemp("roaming"), peers=1) as made:
        yield made


def readdress(namespace, address):
    """The one IPv4 address that the namespace's end of the link has from now on."""
    namespace.run("ip", "-4", "address", "flush", "dev", "veth1")
    namespace.run("ip", "address", "add", f"{address}/24", "dev", "veth1")


@pytest.fixture(name="link")
def link_with_changing_addresses(scene):
    """The link, which has its first addresses again afterwards."""
    link = scene.far[0].link
    yield link
    readdress(scene.ours, link.near4)
    readdress(scene.far[0].namespace, link.far4)


@pytest.fixture(name="connection")
def lasting_connection(service, account, serve, far_host):
    """A connection through the tunnel "home", on PORT, that all of a test goes over."""
    service.create("tunnels", account.tunnel() | {"listen_port": PORT})
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        exchange.talk(connection)
        yield connection
        exchange.talk(connection)
    assert forward.status()["connections_total"] == 1
    wait.until(lambda: exchange.peer_status(service)["handshakes_total"] == 1, "one session did it")


def seen_by_them(scene, account):
    return scene.far[0].peer.endpoint(account.keys.public)


def test_our_port(scene, service, account, connection):
    assert seen_by_them(scene, account) == (scene.far[0].link.near4, PORT)
    status, answer = service.call("PATCH", "/v1/tunnels/home", {"listen_port": MOVED})
    assert status == 200, answer
    exchange.talk(connection)
    assert seen_by_them(scene, account) == (scene.far[0].link.near4, MOVED)


def test_our_address(scene, account, link, connection):
    """The address that the session was made from is gone: the kernel chooses another one."""
    assert seen_by_them(scene, account) == (link.near4, PORT)
    readdress(scene.ours, "10.99.1.11")
    exchange.talk(connection)
    assert seen_by_them(scene, account) == ("10.99.1.11", PORT)


def test_our_family(scene, service, account, connection):
    """The endpoint in the definition becomes one of IPv6, and back."""
    link, port = scene.far[0].link, scene.far[0].peer.port
    for outer, near in ((6, link.near6), (4, link.near4)):
        status, answer = service.call("PATCH", "/v1/tunnels/home",
                                      {"peers": account.tunnel(outer=outer)["peers"]})
        assert status == 200, answer
        exchange.talk(connection)
        assert seen_by_them(scene, account) == (near, PORT)
        assert exchange.peer_status(service)["endpoint"].endswith(f":{port}")


def becomes(service, endpoint):
    wait.until(lambda: exchange.peer_status(service)["endpoint"] == endpoint,
               f"the peer is at {endpoint}")


def test_their_port(scene, service, account, connection):
    """The peer is where its last authenticated packet came from."""
    far = scene.far[0]
    before = far.peer.port
    for port in (before + 1, before):
        far.peer.move(port)
        assert icmp.ping(far.namespace, account.v4)
        exchange.talk(connection)
        becomes(service, f"{far.link.far4}:{port}")


def test_their_address(scene, service, account, link, connection):
    far = scene.far[0]
    readdress(far.namespace, "10.99.1.12")
    # wireguard-go sticks to a source address that is gone until it shakes hands anew, or is told.
    far.peer.tell_endpoint(account.keys.public, f"{link.near4}:{PORT}")
    assert icmp.ping(far.namespace, account.v4)
    exchange.talk(connection)
    becomes(service, f"10.99.1.12:{far.peer.port}")


def test_their_family(scene, service, account, connection):
    far = scene.far[0]
    link, port = far.link, far.peer.port
    for near, theirs in ((f"[{link.near6}]", f"[{link.far6}]"), (link.near4, link.far4)):
        far.peer.tell_endpoint(account.keys.public, f"{near}:{PORT}")
        assert icmp.ping(far.namespace, account.v4)
        exchange.talk(connection)
        becomes(service, f"{theirs}:{port}")
