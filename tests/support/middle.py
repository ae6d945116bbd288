"""Whoever sits between our tunnel and its peer: may do anything to datagrams, and has no key."""

import collections
import contextlib

from support import exchange, relay, wait

PORT = 51000


class Middle:
    """A relay that all of the tunnel "home" passes; what is "in" goes to us, what is "out" to them.

    A stranger is a source (host, port) that is not the one which the receiver knows.
    """

    def __init__(self, scene, service, account, path, inwards, strangers):
        self.path = path
        self._scene = scene
        self._service = service
        self._account = account
        self._inwards = inwards
        self._strangers = strangers
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
        self.path.inject(self._direction(way), datagram,
                         self._strangers[way] if stranger else None)
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
        return {"they see us at": "{}:{}".format(*far.endpoint(key)),
                "their handshake": far.latest_handshake(key),
                "we see them at": ours["endpoint"], "our handshakes": ours["handshakes_total"]}


@contextlib.contextmanager
def we_call(scene, service, account):
    """We are the initiator, behind the relay."""
    link, peer = scene.far[0].link, scene.far[0].peer
    with relay.Relay(scene.ours, (link.far4, peer.port)) as path:
        definition = account.tunnel()
        definition["peers"][0]["endpoint"] = path.endpoint
        service.create("tunnels", definition)
        strangers = {"in": ("127.0.0.66", 0), "out": (link.near4, 0)}
        yield Middle(scene, service, account, path, "down", strangers)


@contextlib.contextmanager
def they_call(scene, service, account):
    """They are the initiator, behind the relay."""
    far = scene.far[0]
    with relay.Relay(far.namespace, (far.link.near4, PORT)) as path:
        service.create("tunnels", exchange.call_us(account, PORT))
        far.peer.tell_endpoint(account.keys.public, path.endpoint)
        exchange.rouse(account)
        strangers = {"in": (far.link.far4, 0), "out": ("127.0.0.66", 0)}
        yield Middle(scene, service, account, path, "up", strangers)


ROLES = {"we_call": we_call, "they_call": they_call}


def drops(service):
    """What was dropped, by reason; without the reasons that did not occur."""
    found = collections.Counter()
    for labels, value in exchange.samples(service, "manytun_worker_dropped_packets_total"):
        found[labels["reason"]] += int(value)
    return +found
