"""What is created can be destroyed: nothing is left of it, in control or in the workers."""

import base64
import contextlib
import os

import pytest

from support import exchange, manytun, servers, topology, wait, wgpeer

ROUNDS = 100
ACCOUNTS = 5
WARM_UP = 25  # rounds after which all that is kept for reuse is there
MIB = 1 << 20

COUNTED_PEERS = 32768  # for which a worker has room (counters.h)
MANY_PEERS = 8000


def stranger(number):
    """A peer that never comes."""
    return {"name": f"stranger{number}", "public_key": base64.b64encode(os.urandom(32)).decode(),
            "allowed_ips": [f"10.{30 + (number >> 8)}.{number & 255}.0/24"]}


def create_use_delete(service, client, account, target, number):
    """A tunnel that shakes hands, with peers, forwards and a connection, comes, changes and goes."""
    def call(method, path, document=None):
        answer = client.call(method, path, document)
        assert answer.status in (200, 201, 204), answer
        return answer.body

    definition = account.tunnel()
    definition["peers"] += [stranger(n) for n in range(5)]
    call("POST", "/v1/tunnels", definition)
    forward = {"tunnel": "home", "target": dict(zip(("host", "port"), target)),
               "listen": {"address": "127.0.0.1", "port": 0}}
    bound = [call("POST", "/v1/forwards", forward)["status"]["bound"] for _ in range(3)][0]
    with service.namespace.connect((bound["address"], bound["port"])) as connection:
        exchange.talk(connection)
        del definition["peers"][3:]
        call("PATCH", "/v1/tunnels/home", {"peers": definition["peers"], "listen_port": 0})
        exchange.talk(connection)
        if number % 2:  # half of them with the connection open
            call("DELETE", "/v1/tunnels/home?cascade=true")
    if not number % 2:
        call("DELETE", "/v1/tunnels/home?cascade=true")


@pytest.fixture(name="accounts")
def several_accounts(scene):
    """In turn, since a peer takes no second initiation with the same key within 20 ms."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(topology.Account(scene.far[0])) for _ in range(ACCOUNTS)]


@pytest.mark.plain_build
def test_nothing_is_left(service, accounts, serve, far_host):
    """Descriptors are as many as before, and memory does not grow, after a hundred rounds."""
    target = (far_host, serve(servers.echo).port)
    processes = [service.pid, *service.workers()]

    def descriptors():
        return [manytun.descriptors(pid) for pid in processes]

    def memory():
        return sum(map(manytun.resident_bytes, processes))

    with service.client() as client:
        for number in range(WARM_UP):
            create_use_delete(service, client, accounts[number % ACCOUNTS], target, number)
        wait.until(lambda: not client.list("tunnels"), "all are gone")
        open_before, memory_before = descriptors(), memory()
        for number in range(ROUNDS):
            create_use_delete(service, client, accounts[number % ACCOUNTS], target, number)
        wait.until(lambda: descriptors() <= open_before, "the descriptors are as many as before")
        assert memory() - memory_before < MIB
    assert [service.pid, *service.workers()] == processes


def test_counters_are_used_again(make_service, account):
    """More peers come and go than a worker can count at a time: those after them are counted."""
    service = make_service("--workers", "1")
    keys = wgpeer.KeyPair()
    crowd = {"name": "crowd", "private_key": keys.private, "addresses": ["10.9.0.200/32"]}
    home = account.tunnel()
    home["peers"][0]["keepalive_seconds"] = 25

    def apply(*tunnels):
        code, answer = service.call("PUT", "/v1/config",
                                    {"tunnels": list(tunnels), "forwards": []})
        assert code == 200, answer

    for _ in range(COUNTED_PEERS // MANY_PEERS + 1):
        apply(crowd | {"peers": [stranger(n) for n in range(MANY_PEERS)]})
        apply()
    apply(home)
    wait.until(lambda: exchange.peer_status(service)["handshakes_total"] == 1, "it is counted")
