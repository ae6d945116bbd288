"""A host with several addresses: who calls one of them is answered from it, as long as it is there."""

import contextlib

import pytest

from support import exchange, servers, wait

PORT = 51000


@contextlib.contextmanager
def second_address(scene, family):
    """Ours, beside the one that the kernel would choose; (address, take it away)."""
    link = scene.far[0].link
    address = "10.99.1.77" if family == 4 else "fd99:1::77"
    assert (link.near4 if family == 4 else link.near6) != address
    prefix = f"{address}/{24 if family == 4 else 64}"
    # Not for what has no source yet: the kernel would like a newer IPv6 address better.
    extra = ("nodad", "preferred_lft", "0") if family == 6 else ()
    scene.ours.run("ip", "address", "add", prefix, "dev", "veth1", *extra)
    try:
        yield address, lambda: scene.ours.run("ip", "address", "del", prefix, "dev", "veth1")
    finally:
        scene.ours.run("ip", "address", "del", prefix, "dev", "veth1", check=False)


@pytest.mark.parametrize("family", [4, 6])
def test_answers_from_the_address_that_was_called(scene, service, account, serve, far_host, family):
    """And from another one when that address is gone."""
    far = scene.far[0]
    definition = account.tunnel() | {"listen_port": PORT}
    del definition["peers"][0]["endpoint"]
    service.create("tunnels", definition)
    forward = service.forward((far_host, serve(servers.echo).port))
    with second_address(scene, family) as (address, take_away):
        host = f"[{address}]" if family == 6 else address
        far.peer.allow(account.keys.public, [f"{account.v4}/32", f"{account.v6}/128"],
                       endpoint=f"{host}:{PORT}", keepalive=1)
        wait.until(lambda: far.peer.latest_handshake(account.keys.public), "the peer has called")
        with forward.connect() as connection:
            exchange.talk(connection)
            # An answer from elsewhere would have moved us, in the peer's eyes.
            assert far.peer.endpoint(account.keys.public) == (address, PORT)
            take_away()
            exchange.talk(connection)
        near = far.link.near4 if family == 4 else far.link.near6
        wait.until(lambda: far.peer.endpoint(account.keys.public) == (near, PORT),
                   "the peer has seen the other address")
