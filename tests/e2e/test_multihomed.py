"""A host with several addresses: who calls one of them is answered from it, while it is there."""

import contextlib

import pytest

from support import exchange, netns, servers, wait

PORT = 51000


@contextlib.contextmanager
def second_address(scene, family):
    """Ours, beside the one that the kernel would choose; (address, take it away)."""
    link = scene.far[0].link
    address = "10.99.1.77" if family == 4 else "fd99:1::77"
    assert (link.near4 if family == 4 else link.near6) != address
    prefix = f"{address}/{24 if family == 4 else 64}"
    # Not for what has no source yet: the kernel would like a newer IPv6 address better.
    extra = ("nodad", "preferred_lft", "0") if family == 6 else ()
    scene.ours.run("ip", "address", "add", prefix, "dev", "veth1", *extra)
    try:
        yield address, lambda: scene.ours.run("ip", "address", "del", prefix, "dev", "veth1")
    finally:
        scene.ours.run("ip", "address", "del", prefix, "dev", "veth1", check=False)


@pytest.fixture(name="listening")
def tunnel_that_listens(service, account):
    """A tunnel at PORT that does not know where its peer is."""
    definition = account.tunnel() | {"listen_port": PORT}
    del definition["peers"][0]["endpoint"]
    service.create("tunnels", definition)


def let_peer_call(far, account, address):
    """The peer has made a handshake with this address of ours."""
    host = f"[{address}]" if ":" in address else address
    far.peer.allow(account.keys.public, [f"{account.v4}/32", f"{account.v6}/128"],
                   endpoint=f"{host}:{PORT}", keepalive=1)
    wait.until(lambda: far.peer.latest_handshake(account.keys.public), "the peer was answered")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.usefixtures("listening")
def test_answers_from_the_address_that_was_called(scene, service, account, serve, far_host, family):
    """And from another one when that address is gone."""
    far = scene.far[0]
    forward = service.forward((far_host, serve(servers.echo).port))
    with second_address(scene, family) as (address, take_away):
        let_peer_call(far, account, address)
        with forward.connect() as connection:
            exchange.talk(connection)
            # An answer from elsewhere would have moved us, in the peer's eyes.
            assert far.peer.endpoint(account.keys.public) == (address, PORT)
            take_away()
            exchange.talk(connection)
        near = far.link.near4 if family == 4 else far.link.near6
        wait.until(lambda: far.peer.endpoint(account.keys.public) == (near, PORT),
                   "the peer has seen the other address")


SECOND_WAY = 9
ON_NO_LINK = {4: ("10.77.0.1", 32), 6: ("fd77::1", 128)}


@pytest.fixture(name="second_way")
def another_way_in(scene):
    """
    A second link from the first peer, by which it reaches addresses of ours that are on no link; the
    way back is the first one. As routers do, the far end answers for the address of a link on that
    link alone.
    """
    far = scene.far[0]
    link = netns.Link(scene.ours, far.namespace, SECOND_WAY)
    for setting in ("all.rp_filter=0", "veth1.rp_filter=0", f"veth{SECOND_WAY}.rp_filter=0"):
        for space in (scene.ours, far.namespace):
            space.run("sysctl", "-qw", f"net.ipv4.conf.{setting}")
    for setting in ("arp_ignore=1", "arp_announce=2"):
        far.namespace.run("sysctl", "-qw", f"net.ipv4.conf.all.{setting}")
    for family, via, source in ((4, link.near4, far.link.far4), (6, link.near6, far.link.far6)):
        address, bits = ON_NO_LINK[family]
        scene.ours.run("ip", "address", "add", f"{address}/{bits}", "dev", "lo")
        far.namespace.run("ip", f"-{family}", "route", "add", address, "via", via, "src", source)
    yield
    for address, bits in ON_NO_LINK.values():
        scene.ours.run("ip", "address", "del", f"{address}/{bits}", "dev", "lo")
    for setting in ("arp_ignore=0", "arp_announce=0"):
        far.namespace.run("sysctl", "-qw", f"net.ipv4.conf.all.{setting}")
    scene.ours.run("ip", "link", "del", f"veth{SECOND_WAY}")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.usefixtures("second_way", "listening")
def test_answers_go_where_the_routes_say(scene, service, account, serve, far_host, family):
    """Also when what they answer came in by another way."""
    far = scene.far[0]
    forward = service.forward((far_host, serve(servers.echo).port))
    address = ON_NO_LINK[family][0]
    let_peer_call(far, account, address)
    with forward.connect() as connection:
        exchange.talk(connection)
        assert far.peer.endpoint(account.keys.public) == (address, PORT)
