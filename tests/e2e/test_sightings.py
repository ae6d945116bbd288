"""Where a peer is, and its newest initiation, outlive the worker, the service and a takeover."""

import os
import signal

import pytest

from support import exchange, middle, relay, servers, wait


@pytest.fixture(name="between")
def recorded(scene, service, account):
    """The far side has called us: its peer has no endpoint in our definition."""
    with middle.they_call(scene, service, account) as between:
        yield between


def kill_worker(service):
    victim = service.workers()[service.get("tunnels", "home")["status"]["worker"]]
    os.kill(victim, signal.SIGKILL)
    wait.until(lambda: victim not in service.workers() and service.is_ready()
               and service.get("tunnels", "home")["status"]["conditions"][0]["status"] == "True",
               "the next one runs")


def restart(service):
    assert service.stop() == 0
    service.start()


def take_over(service):
    service.take_over()


@pytest.mark.parametrize("again", [kill_worker, restart, take_over])
def test_old_initiation_afterwards(service, between, serve, far_host, again):
    """A recorded initiation makes no handshake and does not move the peer, which is called where it
    was, although no definition says where that is."""
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        exchange.talk(connection)
    seen = wait.until(lambda: exchange.peer_status(service).get("endpoint"), "we see where it is")
    initiation = between.captured("in", relay.INITIATION)[-1]
    again(service)
    before = middle.drops(service)
    between.inject("in", initiation, stranger=True)
    wait.until(lambda: (middle.drops(service) - before)["replayed_handshake"] == 1,
               "it is dropped")
    assert exchange.peer_status(service)["endpoint"] == seen
    with forward.connect() as connection:
        exchange.talk(connection)
