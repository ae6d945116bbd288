"""Our tunnel inside another one: its datagrams go through a wireguard-go on our side, too.

    ours                                       far[0]
    manytun -> wg0 (wireguard-go) -- veth1 --> wg0 (wireguard-go) -> wg1 (wireguard-go) -> servers
"""

import pytest

from support import exchange, icmp, servers, topology, wgpeer

OUTER_MTU = 1420
OVERHEAD = {4: 60, 6: 80}  # of the IP header, UDP's 8 bytes, and WireGuard's 32


@pytest.fixture(name="scene", scope="module")
def scene_of_its_own(tmp_path_factory):
    with topology.Topology(tmp_path_factory.mktemp("nested"), peers=1) as made:
        yield made


@pytest.fixture(name="inner", scope="module")
def inner_peer(scene, tmp_path_factory):
    """The peer inside, which can be reached through the tunnel outside alone."""
    far = scene.far[0]
    outer = wgpeer.Peer(scene.ours, tmp_path_factory.mktemp("outer"),
                        addresses=("10.9.0.2/24", "fd09::2/64"), mtu=OUTER_MTU)
    inner = wgpeer.Peer(far.namespace, tmp_path_factory.mktemp("inner"), port=51821,
                        addresses=("10.10.0.1/24", "fd10::1/64"), mtu=OUTER_MTU - OVERHEAD[6],
                        interface="wg1")
    outer.start()
    far.peer.allow(outer.keys.public, ["10.9.0.2/32", "fd09::2/128"])
    outer.allow(far.peer.keys.public, ["10.9.0.0/24", "fd09::/64"],
                endpoint=f"{far.link.far4}:{far.peer.port}")
    inner.start()
    yield inner
    inner.stop()
    outer.stop()


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("fits", [True, False])
def test_tunnel_in_tunnel(scene, service, inner, serve, outer, fits):
    """Full packets both ways, also when our datagrams are too large for the way outside."""
    far = scene.far[0]
    keys = wgpeer.KeyPair()
    inner.allow(keys.public, ["10.10.0.9/32"])
    host, ours = (far.peer.v4, "10.9.0.2") if outer == 4 else (f"[{far.peer.v6}]", "fd09::2")
    service.create("tunnels", {
        "name": "home", "private_key": keys.private, "addresses": ["10.10.0.9/32"],
        "mtu": OUTER_MTU - OVERHEAD[outer] if fits else OUTER_MTU,
        "peers": [{"name": "gw", "public_key": inner.keys.public, "allowed_ips": ["10.10.0.0/24"],
                   "endpoint": f"{host}:{inner.port}"}]})
    forward = service.forward((inner.v4, serve(servers.echo).port))
    with forward.connect() as connection:
        for _ in range(20):
            exchange.talk(connection, 60_000)
    assert icmp.ping(far.namespace, "10.10.0.9")
    assert inner.endpoint(keys.public)[0] == ours
    inner.forget(keys.public)
