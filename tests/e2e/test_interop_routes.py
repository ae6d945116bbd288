"""Several wireguard-go behind one tunnel, told apart by allowed IPs: the longest prefix has it."""

import pytest

from support import exchange, icmp, servers, topology, wait

PORT = 51000
NAMES = 4000  # where each far side says which one it is
# Every far side has all of these, so whoever is asked could answer.
HOSTS = ["10.20.0.1", "10.20.1.1", "10.20.1.129", "fd20::1", "fd20:0:1::1", "fd20:0:1:1::1"]
PREFIXES = [["10.20.0.0/16", "fd20::/32"], ["10.20.1.0/24", "fd20:0:1::/48"],
            ["10.20.1.128/25", "fd20:0:1:1::/64"]]


@pytest.fixture(name="scene", scope="module")
def scene_of_three(tmp_path_factory):
    with topology.Topology(tmp_path_factory.mktemp("routes"), peers=3) as made:
        for far in made.far:
            for host in HOSTS:
                far.namespace.run("ip", "address", "add", host, "dev", "lo")
        yield made


@pytest.fixture(name="tunnel")
def tunnel_to_all(scene, service):
    """The tunnel "home" whose peers are p0, p1 and p2, known to all of them by one key."""
    account = topology.Account(scene.far[0])
    peers = []
    for number, far in enumerate(scene.far):
        far.peer.allow(account.keys.public, [f"{account.v4}/32", f"{account.v6}/128"])
        peers.append({"name": f"p{number}", "public_key": far.peer.keys.public,
                      "endpoint": f"{far.link.far4}:{far.peer.port}",
                      "allowed_ips": PREFIXES[number]})
    account.definition = account.tunnel() | {"listen_port": PORT, "peers": peers}
    service.create("tunnels", account.definition)
    yield account
    for far in scene.far:
        far.peer.forget(account.keys.public)


def change(service, patch):
    status, answer = service.call("PATCH", "/v1/tunnels/home", patch)
    assert status == 200, answer


@pytest.fixture(name="who")
def who_answers(scene, service):
    """who(host): the number of the far side that a new connection to host reaches."""
    naming = [servers.Server(far.namespace,
                             lambda connection, number=number: connection.sendall(b"%d" % number),
                             port=NAMES)
              for number, far in enumerate(scene.far)]

    def ask(host):
        with service.forward((host, NAMES)).connect() as connection:
            return int(servers.read_all(connection))

    yield ask
    for server in naming:
        server.close()


def test_longest_prefix(service, tunnel, who):
    """The peer is chosen by the target's address, in both families; changes count at once."""
    assert [who(host) for host in HOSTS] == [0, 1, 2] * 2
    peers = tunnel.definition["peers"]
    peers[1]["allowed_ips"] = []
    change(service, {"peers": peers})
    assert [who(host) for host in HOSTS] == [0, 0, 2] * 2
    # The very prefixes of one peer become another's.
    peers[1]["allowed_ips"], peers[2]["allowed_ips"] = PREFIXES[2], PREFIXES[1]
    change(service, {"peers": peers})
    assert [who(host) for host in HOSTS] == [0, 2, 1] * 2
    wait.until(lambda: [peer["handshakes_total"] for peer in
                        service.get("tunnels", "home")["status"]["peers"]] == [1, 1, 1],
               "the sessions are still the first ones")


@pytest.mark.parametrize("inner", [4, 6])
def test_more_specific_prefix(scene, service, tunnel, inner):
    """Who lost a prefix is not heard from it any more, but its endpoint is still learnt."""
    far = scene.far[0]
    host, other, near = (("10.20.1.1", "10.20.0.1", tunnel.v4) if inner == 4
                         else ("fd20:0:1::1", "fd20::1", tunnel.v6))
    peers = tunnel.definition["peers"]
    peers[1]["allowed_ips"] = []
    change(service, {"peers": peers})
    far.peer.tell_endpoint(tunnel.keys.public, f"{far.link.near4}:{PORT}")
    assert icmp.ping(far.namespace, near, source=host)

    def dropped():
        return exchange.metric(service, "manytun_worker_dropped_packets_total",
                               reason="bad_source")

    before = dropped()
    peers[1]["allowed_ips"] = PREFIXES[1]
    change(service, {"peers": peers})
    far.peer.move(far.peer.port + 1)
    assert not icmp.ping(far.namespace, near, source=host)
    wait.until(lambda: dropped() == before + 1, "the drop is counted")
    assert exchange.peer_status(service, peer="p0")["endpoint"] == \
        f"{far.link.far4}:{far.peer.port}"
    assert icmp.ping(far.namespace, near, source=other)


def test_many_prefixes(scene, service, who):
    """255 times 256 prefixes of one peer, on both sides; of another peer one in the midst of them."""
    far, other = scene.far[:2]
    prefixes = [f"{a}.{b}.0.0/16" for a in range(1, 256) for b in range(256)]
    with topology.Account(far) as account:
        other.peer.allow(account.keys.public, [f"{account.v4}/32"])
        most, one = ({"name": name, "public_key": side.peer.keys.public, "allowed_ips": allowed,
                      "endpoint": f"{side.link.far4}:{side.peer.port}"}
                     for name, side, allowed in (("most", far, prefixes),
                                                 ("one", other, ["10.20.1.0/25"])))
        status, answer = service.call(
            "PUT", "/v1/config", {"tunnels": [account.tunnel() | {"peers": [most, one]}],
                                  "forwards": []})
        assert status == 200, answer
        for _ in range(2):
            assert service.get("tunnels", "home")["peers"][0]["allowed_ips"] == prefixes
            assert [who(host) for host in HOSTS[:3]] == [0, 1, 0]
            service.kill()
            service.start()

        # What wireguard-go makes of as many.
        far.peer.allow_many(account.keys.public, prefixes)
        assert set(far.peer.allowed_ips(account.keys.public)) >= set(prefixes)
        assert who(HOSTS[0]) == 0
        other.peer.forget(account.keys.public)
