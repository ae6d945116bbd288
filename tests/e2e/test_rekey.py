"""Sessions are replaced while they carry traffic (WireGuard, section 6: 120 s and 180 s)."""

import os
import time

import pytest

from support import servers, topology

REKEY_AND_REJECT = 200  # seconds: past REJECT_AFTER_TIME of the first session
STEP = 0.25


@pytest.mark.slow
def test_connections_outlive_their_session(scene, service, serve, far_host):
    """One connection is in use all the time; one, in a tunnel of its own, is silent meanwhile."""
    with topology.Account(scene.far[0]) as busy, topology.Account(scene.far[1]) as idle:
        forwards = []
        for number, account in enumerate((busy, idle)):
            name = f"tunnel{number}"
            service.create("tunnels", account.tunnel(name))
            port = serve(servers.echo, number).port
            forwards.append(service.forward((far_host, port), tunnel=name))
        with forwards[0].connect() as talking, forwards[1].connect() as silent:
            first = [exchange(talking, busy), exchange(silent, idle)]
            begun = time.monotonic()
            while time.monotonic() - begun < REKEY_AND_REJECT:
                newest = exchange(talking, busy)
                time.sleep(STEP)  # real time is what is tested
            assert 0 < first[0] < newest
            assert 0 < first[1] < exchange(silent, idle)
        assert [forward.status()["connections_total"] for forward in forwards] == [1, 1]


def exchange(connection, account):
    """Sends a message there and back; when the peer has then last shaken hands."""
    message = os.urandom(512)
    connection.sendall(message)
    assert servers.read_exactly(connection, len(message)) == message
    return account.far.peer.latest_handshake(account.keys.public)
