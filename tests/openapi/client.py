"""Uses the generated Python client: creates, lists, watches, changes and deletes.

client.py URL TOKEN, with the package manytun_client in PYTHONPATH.
"""

import sys

from manytun_client import AuthenticatedClient
from manytun_client.api.forwards import (create_forward, delete_forward, get_forward,
                                         list_forwards, patch_forward)
from manytun_client.api.observation import get_status, list_events
from manytun_client.api.tunnels import create_tunnel, delete_tunnel, put_peer
from manytun_client.models import (Event, ForwardInput, MergePatch, PeerInput, Problem, Target,
                                   TunnelInput)

KEYS = ["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="]


def names(client):
    """Every forward's name, page by page."""
    page = list_forwards.sync(client=client, limit=1)
    found = [item.name for item in page.items]
    while page.next_cursor:
        page = list_forwards.sync(client=client, limit=1, cursor=page.next_cursor)
        found += [item.name for item in page.items]
    return found


def watch(client, since, last):
    """The events after an id, up to the one of this type; each is there when its change is."""
    seen: list[Event] = []
    while not any(event.type_ == last for event in seen):
        page = list_events.sync(client=client, since=since)
        assert page.items, f"no {last} after event {since}"
        seen += page.items
        since = page.next_since
    return [(event.type_, event.name) for event in seen if event.kind == "forward"]


def main(url, token):
    client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True,
                                 headers={"Accept": "application/json"})
    since = get_status.sync(client=client).last_event_id

    tunnel = create_tunnel.sync(client=client, body=TunnelInput(
        name="home", addresses=["10.9.0.2/32"], private_key=KEYS[0]))
    assert tunnel.name == "home" and tunnel.status.bound.port > 0
    peer = put_peer.sync(client=client, name="home", peer="gw",
                         body=PeerInput(public_key=KEYS[1], allowed_ips=["192.168.4.0/24"]))
    assert peer.allowed_ips == ["192.168.4.0/24"]
    for name in ("mail", "web"):
        forward = create_forward.sync(client=client, body=ForwardInput(
            name=name, tunnel="home", target=Target(host="192.168.4.2", port=80)))
        assert forward.status.bound.port > 0
    assert names(client) == ["mail", "web"]

    refused = create_forward.sync(client=client, body=ForwardInput(
        name="web", tunnel="home", target=Target(host="192.168.4.2", port=80)))
    assert isinstance(refused, Problem) and refused.errors[0].code == "name_taken"
    patch = MergePatch()
    patch["target"] = {"port": 81}
    assert patch_forward.sync(client=client, name="web", body=patch).target.port == 81

    assert delete_forward.sync_detailed(client=client, name="web").status_code == 204
    assert isinstance(get_forward.sync(client=client, name="web"), Problem)
    assert delete_tunnel.sync_detailed(client=client, name="home", cascade=True).status_code == 204
    assert names(client) == []
    events = watch(client, since, "tunnel.deleted")
    for wanted in (("forward.created", "mail"), ("forward.created", "web"),
                   ("forward.deleted", "web"), ("forward.deleted", "mail")):
        assert wanted in events, (wanted, events)


main(*sys.argv[1:])
