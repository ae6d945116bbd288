"""Sessions are replaced while they carry traffic (WireGuard, section 6: 120 s and 180 s)."""

import contextlib
import random
import time

import pytest

from support import exchange, icmp, servers, topology

TWO_REKEYS_AND_MORE = 260  # seconds; past REJECT_AFTER_TIME of the first session, too
ALL_IS_SAID = 60  # seconds after which a silent session says nothing any more
STEP = 0.25
SIZE_MAX = 60_000
PORT = 51000


class Carried:
    """A connection through a tunnel of its own, to the peer of a far side, in one of the roles."""

    def __init__(self, stack, service, serve, far, role):
        self.account = stack.enter_context(topology.Account(far[1]))
        self.name = f"{role}{far[0]}"
        self._service = service
        definition = (exchange.call_us(self.account, PORT + far[0]) if role == "responder"
                      else self.account.tunnel())
        service.create("tunnels", definition | {"name": self.name})
        if role == "responder":
            exchange.rouse(self.account)
        self.forward = service.forward((far[1].peer.v4, serve(servers.echo, far[0]).port),
                                       tunnel=self.name)
        self.connection = stack.enter_context(self.forward.connect())
        exchange.talk(self.connection)

    def status(self):
        return exchange.peer_status(self._service, self.name)


@pytest.mark.slow
def test_connections_outlive_their_session(scene, service, serve):
    """Whoever has begun the sessions: with traffic all the time no byte is lost, and after a
    silence in which the session has died the first packet, of either side, brings another one.
    """
    generator = random.Random(7)
    with contextlib.ExitStack() as stack:
        busy, silent = ([Carried(stack, service, serve, far, role)
                         for role in ("initiator", "responder")] for far in enumerate(scene.far))
        said = {}
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < TWO_REKEYS_AND_MORE:
            for carried in busy:
                exchange.talk(carried.connection, generator.randrange(1, SIZE_MAX))
            if not said and passed > ALL_IS_SAID:
                said = {carried.name: carried.status() for carried in silent}
            time.sleep(STEP)  # real time is what is tested

        for carried in busy:
            assert carried.status()["handshakes_total"] >= 3
        for carried in silent:
            status = carried.status()
            assert status["handshakes_total"] == 1
            assert status["tx_bytes_total"] == said[carried.name]["tx_bytes_total"]
            assert status["rx_bytes_total"] == said[carried.name]["rx_bytes_total"]
        initiator, responder = silent
        exchange.talk(initiator.connection)
        assert icmp.ping(responder.account.far.namespace, responder.account.v4)
        exchange.talk(responder.connection)
        assert [carried.forward.status()["connections_total"]
                for carried in (*busy, *silent)] == [1] * 4
