"""The scene of the tests: our namespace, and peers in namespaces of their own.

      ours                      far[0], far[1]
    manytun ---- veth pair n ---- wireguard-go ---- servers

Every far side has the *same* inner addresses, so that two tunnels overlap wholly.
"""

import itertools

from support import manytun, netns, wgpeer

PEERS = 2
_numbers = itertools.count(10)


class FarSide:
    """A namespace linked to ours, and the WireGuard peer in it."""

    def __init__(self, ours, directory, number, program):
        self.namespace = netns.Namespace()
        self.link = netns.Link(ours, self.namespace, number)
        self.peer = wgpeer.Peer(self.namespace, directory, program=program)

    def close(self):
        self.peer.stop()
        self.namespace.close()


class Topology:
    """All of it. Use as a context manager."""

    def __init__(self, directory, peers=PEERS, program="wireguard-go"):
        self.ours = netns.Namespace()
        self.far = []
        try:
            for number in range(1, peers + 1):
                self.far.append(FarSide(self.ours, _folder(directory, f"peer{number}"), number,
                                        program))
                self.far[-1].peer.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for far in self.far:
            far.close()
        self.ours.close()


def _folder(parent, name):
    path = parent / name
    path.mkdir()
    return path


def missing_requirement():
    """Why nothing of this can run here, or None."""
    return (netns.missing_requirement() or wgpeer.missing_requirement()
            or manytun.missing_requirement())


class Account:
    """A key pair and inner addresses of our own, known to a far side's peer until closed."""

    def __init__(self, far, keepalive=None, preshared=False):
        number = next(_numbers)
        self.far = far
        self.keys = wgpeer.KeyPair()
        self.preshared = wgpeer.preshared_key() if preshared else None
        self.v4 = f"10.9.0.{2 + number % 250}"
        self.v6 = f"fd09::{2 + number:x}"
        far.peer.allow(self.keys.public, [f"{self.v4}/32", f"{self.v6}/128"],
                       preshared=self.preshared, keepalive=keepalive)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.far.peer.forget(self.keys.public)

    def tunnel(self, name="home", outer=4):
        """The definition of a tunnel that uses it, over IPv4 or IPv6 outside."""
        far = self.far
        host = far.link.far4 if outer == 4 else far.link.far6
        endpoint = f"[{host}]:{far.peer.port}" if ":" in host else f"{host}:{far.peer.port}"
        peer = {"name": "gw", "public_key": far.peer.keys.public, "endpoint": endpoint,
                "allowed_ips": ["10.9.0.0/24", "fd09::/64"]}
        if self.preshared is not None:
            peer["preshared_key"] = self.preshared
        return {"name": name, "private_key": self.keys.private,
                "addresses": [f"{self.v4}/32", f"{self.v6}/128"], "peers": [peer]}
