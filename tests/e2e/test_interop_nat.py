"""Behind a NAT that forgets after two seconds: they reach us only with a persistent keepalive.

      ours ---- nat ---- far[0]
    10.98.1.2  masquerade  10.98.2.2
"""

import time

import pytest

from support import exchange, icmp, netns, servers

FORGETS = 2  # seconds, of the NAT
SILENCE = 2 * FORGETS
MASQUERADE = """
table ip nat {
    chain out {
        type nat hook postrouting priority 100
        oifname outside masquerade
    }
    chain in {
        type filter hook forward priority 0
        iifname outside ct state new drop
    }
}
"""


def join(near, far, name, subnet):
    """A link between two namespaces, .1 and .2 of a subnet."""
    near.run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns",
             str(far.pid))
    for number, namespace in ((1, near), (2, far)):
        namespace.run("ip", "address", "add", f"{subnet}.{number}/24", "dev", name)
        namespace.run("ip", "link", "set", name, "up")


@pytest.fixture(autouse=True, scope="module")
def nat_between(scene):
    """A namespace that hides ours from the first far side."""
    nat = netns.Namespace()
    far = scene.far[0].namespace
    join(nat, scene.ours, "inside", "10.98.1")
    join(nat, far, "outside", "10.98.2")
    scene.ours.run("ip", "route", "add", "10.98.2.0/24", "via", "10.98.1.1")
    nat.run("sysctl", "-qw", "net.ipv4.ip_forward=1",
            f"net.netfilter.nf_conntrack_udp_timeout={FORGETS}",
            f"net.netfilter.nf_conntrack_udp_timeout_stream={FORGETS}")
    nat.run("nft", MASQUERADE)
    yield
    scene.ours.run("ip", "link", "del", "inside")
    far.run("ip", "link", "del", "outside")
    nat.close()


@pytest.fixture(name="connect")
def connector(service, account, serve, far_host):
    """connect(**peer): a connection through a tunnel whose peer is beyond the NAT."""
    def connect(**more):
        definition = account.tunnel()
        definition["peers"][0] |= {"endpoint": f"10.98.2.2:{account.far.peer.port}", **more}
        service.create("tunnels", definition)
        connection = service.forward((far_host, serve(servers.echo).port)).connect()
        exchange.talk(connection)
        assert account.far.peer.endpoint(account.keys.public)[0] == "10.98.2.1"
        return connection

    return connect


def test_without_keepalive(scene, account, connect):
    """They cannot reach us when it has forgotten us, and we can them; then they us again."""
    far = scene.far[0].namespace
    with connect() as connection:
        assert icmp.ping(far, account.v4)
        time.sleep(SILENCE)  # silence is what is tested
        assert not icmp.ping(far, account.v4)
        exchange.talk(connection)
        assert icmp.ping(far, account.v4)


def test_with_keepalive(scene, account, connect):
    """One each second keeps the way open."""
    with connect(keepalive_seconds=1) as connection:
        time.sleep(SILENCE)  # silence is what is tested
        assert icmp.ping(scene.far[0].namespace, account.v4)
        exchange.talk(connection)
