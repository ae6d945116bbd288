"""Sessions are replaced while they carry traffic (WireGuard, section 6: 120 s and 180 s)."""

import contextlib
import random
import time

import pytest

from support import exchange, servers, topology, wait

TWO_REKEYS_AND_MORE = 260  # seconds; past REJECT_AFTER_TIME of the first session, too
ALL_IS_SAID = 60  # seconds after which a tunnel without connections says nothing any more
STEP = 0.25
SIZE_MAX = 60_000
PORT = 51000
ROLES = ["initiator", "responder"]


class Carrier:
    """A tunnel with a forward, to the peer of a far side, in one of the roles."""

    def __init__(self, service, account, number, role, target):
        self.name = f"tunnel{number}"
        self._service, self._account, self._role = service, account, role
        definition = (exchange.call_us(account, PORT + number) if role == "responder"
                      else account.tunnel())
        service.create("tunnels", definition | {"name": self.name})
        self.forward = service.forward(target, tunnel=self.name)

    def call(self):
        """Whoever is to begin sessions sends something."""
        if self._role == "responder":
            exchange.rouse(self._account)
        else:
            self.use()

    def use(self):
        """A connection that is over soon."""
        with self.forward.connect() as connection:
            exchange.talk(connection)

    def handshakes(self):
        return exchange.peer_status(self._service, self.name)["handshakes_total"]

    def transfer(self):
        return exchange.transfer(self._service, self.name)


@pytest.mark.slow
def test_sessions_are_replaced(scene, service, serve, far_host):
    """Whoever began them. With traffic all the time no byte is lost; a connection that nobody uses
    stays; and after a silence in which the session has died the first packet makes another.
    """
    generator = random.Random(7)
    with contextlib.ExitStack() as stack:
        target = (far_host, serve(servers.echo).port)
        carriers = [Carrier(service, stack.enter_context(topology.Account(scene.far[0])), number,
                            role, target) for number, role in enumerate(3 * ROLES)]
        for carrier in carriers:
            carrier.call()
        busy, idle, silent = carriers[:2], carriers[2:4], carriers[4:]
        used, unused = ([stack.enter_context(carrier.forward.connect()) for carrier in kind]
                        for kind in (busy, idle))
        for connection in unused:
            exchange.talk(connection)

        said = []
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < TWO_REKEYS_AND_MORE:
            for connection in used:
                exchange.talk(connection, generator.randrange(1, SIZE_MAX))
            if not said and passed > ALL_IS_SAID:
                said = [carrier.transfer() for carrier in silent]
            time.sleep(STEP)  # real time is what is tested

        assert all(carrier.handshakes() >= 3 for carrier in busy)
        for connection in unused:
            exchange.talk(connection)
        assert [carrier.transfer() for carrier in silent] == said
        for carrier in silent:
            assert carrier.handshakes() == 1
            carrier.call()
            wait.until(lambda: carrier.handshakes() == 2, "another session")
            carrier.use()
