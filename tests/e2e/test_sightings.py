"""Where a peer is, and its newest initiation, outlive the worker, the service and a takeover."""

import contextlib
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


@contextlib.contextmanager
def address_of_the_link(namespace, address, device):
    """The namespace has another address of one link meanwhile."""
    namespace.run("ip", "address", "add", f"{address}/64", "dev", device, "nodad")
    try:
        yield
    finally:
        namespace.run("ip", "address", "del", f"{address}/64", "dev", device)


@pytest.mark.parametrize("defined", [True, False], ids=["we call", "they call"])
def test_address_of_one_link(scene, service, account, serve, far_host, defined):
    """A peer at a link-local address is found there again, on the same link."""
    far, device = scene.far[0], scene.far[0].link.device
    with (address_of_the_link(scene.ours, "fe80::98", device),
          address_of_the_link(far.namespace, "fe80::99", device)):
        place = f"[fe80::99%{device}]:{far.peer.port}"
        if defined:
            definition = account.tunnel()
            definition["peers"][0]["endpoint"] = place
        else:
            definition = exchange.call_us(account, 51999, host=f"[fe80::98%{device}]")
        service.create("tunnels", definition)
        if not defined:
            exchange.rouse(account)
        forward = service.forward((far_host, serve(servers.echo).port))
        for again in (kill_worker, restart, None):
            with forward.connect() as connection:
                exchange.talk(connection)
            seen = wait.until(lambda: exchange.peer_status(service).get("endpoint"), "it is seen")
            assert seen.startswith("[fe80::") and seen.endswith(f"%{device}]:{far.peer.port}")
            if again:
                again(service)
