"""Both roles in front of a peer: who knows where the other is, and who calls."""

import os
import re

from support import icmp, servers, wait


def call_us(account, port, outer=4, host=None):
    """The far side's peer is told where our side is; the peer of our definition has no endpoint.

    The definition of the tunnel, which listens on port.
    """
    link = account.far.link
    host = host or (link.near4 if outer == 4 else f"[{link.near6}]")
    account.far.peer.allow(account.keys.public, [f"{account.v4}/32", f"{account.v6}/128"],
                           preshared=account.preshared, endpoint=f"{host}:{port}")
    definition = account.tunnel()
    del definition["peers"][0]["endpoint"]
    return definition | {"listen_port": port}


def rouse(account, timeout=20):
    """The far side's peer shakes hands with us, by sending something to our inner address."""
    with icmp.Ping(account.far.namespace, account.v4) as pinging:
        wait.until(lambda: pinging.answered(pinging.send(), 1), "our side answers a ping", timeout)


def talk(connection, size=512):
    """Sends random bytes to a server that echoes, and demands the same back."""
    message = os.urandom(size)
    connection.sendall(message)
    assert servers.read_exactly(connection, size) == message


def peer_status(service, tunnel="home", peer="gw"):
    """The status of one peer, by name."""
    for item in service.get("tunnels", tunnel)["status"]["peers"]:
        if item["name"] == peer:
            return item
    raise KeyError(peer)


def transfer(service, tunnel="home", peer="gw"):
    """Bytes (received from, sent to) a peer, as wgpeer.Peer.transfer() tells them."""
    status = peer_status(service, tunnel, peer)
    return status["rx_bytes_total"], status["tx_bytes_total"]


def samples(service, family):
    """A metric's samples, each as its labels and its value."""
    answer = service.request("GET", "/metrics", None, {"Authorization": f"Bearer {service.token}"})
    assert answer.status == 200
    found = re.findall(rf"^{family}({{.*}})? (\S+)$", answer.body.decode(), re.MULTILINE)
    assert found, f"there is no {family}"
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
            for labels, value in found]


def metric(service, family, **labels):
    """The sum of a metric's samples that have these labels."""
    return sum(value for found, value in samples(service, family)
               if labels.items() <= found.items())
