"""Whoever sits between our tunnel and its peer: may do anything to datagrams, and has no key."""

import collections
import contextlib

from support import exchange, relay, wait

PORT = 51000

# By family: our address, theirs, and the relay's towards whoever is beside it.
_ENDS = {4: lambda link: (link.near4, link.far4, "127.0.0.1"),
         6: lambda link: (link.near6, link.far6, "::1")}


class Middle:
    """A relay that all of the tunnel "home" passes; what is "in" goes to us, what is "out" to them.

    The stranger has an address, and each time a port, that is not the one which the receiver knows.
    """

    def __init__(self, scene, service, account, path, inwards, stranger):
        self.path = path
        self._scene = scene
        self._service = service
        self._account = account
        self._inwards = inwards
        self._stranger = stranger
        self._injected = 0  # to us
        # The part of state() that a translator in between changes.
        self.caller = {"down": "they see us at", "up": "we see them at"}[inwards]

    def _direction(self, way):
        return self._inwards if way == "in" else {"up": "down", "down": "up"}[self._inwards]

    def set(self, way, **settings):
        """Relay.set(), for "in", "out" or "both"."""
        self.path.set(way if way == "both" else self._direction(way), **settings)

    def captured(self, way, kind):
        return self.path.captured(self._direction(way), kind)

    def inject(self, way, datagram, stranger=False):
        self.path.inject(self._direction(way), datagram, (self._stranger, 0) if stranger else None)
        self._injected += way == "in"

    def counter(self, way, name):
        return self.path.counters()[f"{self._direction(way)}.{name}"]

    def settle(self):
        """Waits until every datagram that we were handed is accounted for: taken, or dropped."""
        def counted():
            cookies = len(self.captured("in", relay.COOKIE_REPLY))  # taken, and no traffic
            return cookies + sum(
                exchange.metric(self._service, f"manytun_tunnel_{name}packets_total",
                                direction="in") for name in ("", "dropped_"))

        def handed():
            return (self.counter("in", "forwarded") - self.counter("in", "refused")
                    + self._injected)

        wait.until(lambda: counted() == handed(), "every datagram is counted once")

    def caller_speaks(self):
        """Something comes from the side that called, so that the other one knows where it is."""
        if self._inwards == "up":
            exchange.rouse(self._account)

    def state(self):
        """What nobody without a key may change: where each side is, and the sessions."""
        self.settle()
        far, key = self._scene.far[0].peer, self._account.keys.public
        ours = exchange.peer_status(self._service)
        return {"they see us at": relay.text(far.endpoint(key)),
                "their handshake": far.latest_handshake(key),
                "we see them at": ours["endpoint"], "our handshakes": ours["handshakes_total"]}


@contextlib.contextmanager
def we_call(scene, service, account, outer=4):
    """We are the initiator, behind the relay, over IPv4 or IPv6 outside."""
    near, far, loopback = _ENDS[outer](scene.far[0].link)
    with relay.Relay(scene.ours, (far, scene.far[0].peer.port), (loopback, 0)) as path:
        definition = account.tunnel()
        definition["peers"][0]["endpoint"] = path.endpoint
        service.create("tunnels", definition)
        yield Middle(scene, service, account, path, "down", near)


@contextlib.contextmanager
def they_call(scene, service, account, outer=4):
    """They are the initiator, behind the relay, over IPv4 or IPv6 outside."""
    near, far, loopback = _ENDS[outer](scene.far[0].link)
    with relay.Relay(scene.far[0].namespace, (near, PORT), (loopback, 0)) as path:
        service.create("tunnels", exchange.call_us(account, PORT, outer))
        scene.far[0].peer.tell_endpoint(account.keys.public, path.endpoint)
        exchange.rouse(account)
        yield Middle(scene, service, account, path, "up", far)


ROLES = {"we_call": we_call, "they_call": they_call}


def drops(service):
    """What was dropped, by reason; without the reasons that did not occur."""
    found = collections.Counter()
    for labels, value in exchange.samples(service, "manytun_worker_dropped_packets_total"):
        found[labels["reason"]] += int(value)
    return +found
