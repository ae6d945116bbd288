"""Either side dies and comes back: who notices, and what the connections of the time before get.

Whoever sends first on a session that the other has lost hears nothing, and begins a new one 15 s
later (KEEPALIVE_TIMEOUT and REKEY_TIMEOUT). Whoever has come back and knows where the other is begins
one with the first packet.
"""

import os
import signal

import pytest

from support import exchange, icmp, servers, topology, wait

PORT = 51000
NOTICED = 60  # seconds: 15, jitter, and a retry that a slow machine may need


@pytest.fixture(name="scene", scope="module")
def scene_of_its_own(tmp_path_factory):
    """Peers that may be ended."""
    with topology.Topology(tmp_path_factory.mktemp("restart")) as made:
        yield made


def restart_peer(scene):
    """Its sessions, and where we are, are forgotten unless it was told."""
    scene.far[0].peer.stop()
    scene.far[0].peer.start()


def restart_service(service):
    service.kill()
    service.start()


def restart_workers(service):
    for worker in service.workers():
        os.kill(worker, signal.SIGKILL)


def test_they_come_back_and_call(scene, service, account, serve, far_host):
    """The first that they send brings the session back, and the connection goes on."""
    service.create("tunnels", exchange.call_us(account, PORT))
    exchange.rouse(account)
    with service.forward((far_host, serve(servers.echo).port)).connect() as connection:
        exchange.talk(connection)
        restart_peer(scene)
        assert icmp.ping(scene.far[0].namespace, account.v4, timeout=5)
        exchange.talk(connection)


@pytest.mark.parametrize("restart", [restart_service, restart_workers])
def test_we_come_back_and_call(service, account, serve, far_host, restart):
    """So does the first that we send; the connections went with the process that had them."""
    service.create("tunnels", account.tunnel())
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as former:
        exchange.talk(former)
        # Time passes: a peer takes no second initiation within 20 ms.
        wait.until(lambda: exchange.peer_status(service)["handshakes_total"], "it is counted")
        restart(service)
        with forward.connect() as connection:
            exchange.talk(connection)
        with pytest.raises(ConnectionError):
            exchange.talk(former)


def test_a_new_worker_knows_where_they_are(service, account, serve, far_host):
    """It calls a peer without an endpoint where the worker before had heard from it."""
    service.create("tunnels", exchange.call_us(account, PORT))
    exchange.rouse(account)
    wait.until(lambda: "endpoint" in exchange.peer_status(service), "the endpoint is known")
    forward = service.forward((far_host, serve(servers.echo).port))
    restart_workers(service)
    with forward.connect() as connection:
        exchange.talk(connection)


@pytest.mark.slow
def test_the_other_side_notices(scene, make_service, serve, far_host):
    """A peer that was restarted and waits, and a worker of ours that does: both are called anew.

    What the one connection sends meanwhile arrives in the end.
    """
    service = make_service("--workers", "2")
    with topology.Account(scene.far[0]) as calling, topology.Account(scene.far[1]) as called:
        service.create("tunnels", calling.tunnel("calling"))
        service.create("tunnels", exchange.call_us(called, PORT) | {"name": "called"})
        exchange.rouse(called)
        forward = service.forward((far_host, serve(servers.echo).port), tunnel="calling")
        carriers = {name: service.get("tunnels", name)["status"]["worker"]
                    for name in ("calling", "called")}
        assert carriers["calling"] != carriers["called"]
        with forward.connect(timeout=NOTICED) as connection, \
                icmp.Ping(called.far.namespace, called.v4) as pinging:
            exchange.talk(connection)
            restart_peer(scene)
            os.kill(service.workers()[carriers["called"]], signal.SIGKILL)
            connection.sendall(b"hello")
            wait.until(lambda: pinging.answered(pinging.send(), 1), "they notice", NOTICED)
            assert servers.read_exactly(connection, 5) == b"hello"
        assert forward.status()["connections_total"] == 1


@pytest.mark.slow
def test_they_notice_that_the_service_died(service, account):
    """A service that was killed and only waits is called anew, too."""
    service.create("tunnels", exchange.call_us(account, PORT))
    exchange.rouse(account)
    restart_service(service)
    exchange.rouse(account, NOTICED)
