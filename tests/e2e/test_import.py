"""A wg-quick file becomes a tunnel that carries traffic, and its peers change one by one."""

import json

import pytest

from support import servers, topology, wait, wgpeer


@pytest.fixture(name="account", params=[False, True], ids=["plain", "preshared"])
def accounts(scene, request):
    with topology.Account(scene.far[0], preshared=request.param) as made:
        yield made


def wg_quick(account):
    """The file that an administrator would hand out, with what wg-quick would do with it."""
    peer = account.tunnel()["peers"][0]
    preshared = f"PresharedKey = {account.preshared}\n" if account.preshared else ""
    return f"""\
[Interface]
PrivateKey = {account.keys.private}
Address = {account.v4}/24, {account.v6}/64
DNS = 10.9.0.1
PostUp = touch {{marker}}

[Peer]
# Name = gw
PublicKey = {peer["public_key"]}
{preshared}AllowedIPs = 10.9.0.0/24
AllowedIPs = fd09::/64
Endpoint = {peer["endpoint"]}
PersistentKeepalive = off
"""


def put_config(service, text, query=""):
    """(status, JSON answer) of an import as the tunnel "home"."""
    answer = service.request("PUT", f"/v1/tunnels/home/config{query}", text.encode(),
                             {"Authorization": f"Bearer {service.token}",
                              "Content-Type": "text/plain"})
    return answer.status, json.loads(answer.body)


def get_config(service):
    answer = service.request("GET", "/v1/tunnels/home/config", None,
                             {"Authorization": f"Bearer {service.token}"})
    assert answer.status == 200
    return answer.body.decode()


def say(connection, text):
    connection.sendall(text)
    assert servers.read_exactly(connection, len(text)) == text


def test_a_file_becomes_a_tunnel(make_service, account, serve, far_host, tmp_path):
    """First in a dry run; what it asks for beyond the tunnel is not done, and said."""
    service = make_service()
    marker = tmp_path / "marker"
    text = wg_quick(account).format(marker=marker)
    status, answer = put_config(service, text, "?dry_run=true")
    assert (status, [warning["line"] for warning in answer["warnings"]]) == (200, [4, 5])
    assert service.call("GET", "/v1/tunnels/home")[0] == 404

    status, answer = put_config(service, text)
    assert status == 201 and answer["peers"][0]["name"] == "gw"
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        say(connection, b"through the imported tunnel")
        # What the service prints says the same: it is put back, and nothing happens.
        printed = get_config(service)
        assert account.keys.private not in printed and "(hidden)" in printed
        status, answer = put_config(service, printed)
        assert (status, answer["generation"]) == (200, 1)
        say(connection, b"and still")
    assert not marker.exists()
    assert account.keys.private not in service.log

    # It survives a restart with its secrets.
    service.stop()
    service.start()
    with forward.connect() as connection:
        say(connection, b"after a restart")


def test_peers_come_and_go_beside_a_connection(make_service, account, serve, far_host):
    service = make_service()
    service.create("tunnels", account.tunnel())
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        say(connection, b"before")
        path = "/v1/tunnels/home/peers/gw"
        wait.until(lambda: service.call("GET", path)[1]["status"]["handshakes_total"] == 1,
                   "the peer's handshake was counted")
        other = {"public_key": wgpeer.KeyPair().public, "allowed_ips": ["10.77.0.0/16"]}
        for method, document, expected in (("PUT", other, 201), ("PUT", other, 200),
                                           ("PUT", {**other, "keepalive_seconds": 9}, 200),
                                           ("DELETE", None, 204)):
            status, answer = service.call(method, "/v1/tunnels/home/peers/other", document)
            assert status == expected, answer
            say(connection, f"after {method}".encode())
    assert service.get("tunnels", "home")["generation"] == 4
