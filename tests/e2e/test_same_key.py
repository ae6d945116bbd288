"""Two tunnels with one private key and one peer: to the peer they are one that moves.

It goes to where it heard from last, as it would with two hosts that have the same key.
"""

import time

from support import exchange, servers

APART = 0.1  # seconds: the peer takes no second initiation with the same key within 20 ms


def ready(service, name):
    for item in service.get("tunnels", name)["status"]["conditions"]:
        if item["type"] == "Ready":
            return item["status"]
    raise KeyError("Ready")


def test_one_works_while_the_other_is_gone(service, scene, account, serve, far_host):
    """Each works in its turn, and neither's end is the other's."""
    workers = service.workers()
    target = (far_host, serve(servers.echo).port)

    def works(forward, name):
        with forward.connect() as connection:
            exchange.talk(connection)
        port = service.get("tunnels", name)["status"]["bound"]["port"]
        assert scene.far[0].peer.endpoint(account.keys.public) == (scene.far[0].link.near4, port)
        assert ready(service, name) == "True"
        time.sleep(APART)

    def make(name):
        service.create("tunnels", account.tunnel(name))
        return service.forward(target, tunnel=name)

    def end(name):
        status, answer = service.call("DELETE", f"/v1/tunnels/{name}?cascade=true")
        assert status in (200, 204), answer

    one, two = make("one"), make("two")
    works(one, "one")
    works(two, "two")
    end("one")
    works(two, "two")
    one = make("one")
    works(one, "one")
    end("two")
    works(one, "one")
    assert service.workers() == workers
