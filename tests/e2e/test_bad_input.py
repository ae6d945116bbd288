"""What the API refuses: with a status, a problem document that names the field, and no effect."""

import contextlib
import json

import pytest

from support import files, wgpeer

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def tunnel(**changes):
    """A valid tunnel with changes; a value of None leaves the field out."""
    peer = {"name": "gw", "public_key": KEY, "endpoint": "192.0.2.1:51820",
            "allowed_ips": ["192.168.4.0/24"], **changes.pop("peer", {})}
    document = {"name": "other", "addresses": ["10.9.0.2/32"], "private_key": KEY,
                "peers": [peer], **changes}
    return {name: value for name, value in document.items() if value is not None}


def forward(**changes):
    """A valid forward with changes; a value of None leaves the field out."""
    document = {"name": "other", "tunnel": "home", "direction": "local", "protocol": "tcp",
                "listen": {"address": "127.0.0.1", "port": 0},
                "target": {"host": "192.168.4.2", "port": 80}, **changes}
    return {name: value for name, value in document.items() if value is not None}


REFUSED_TUNNELS = [
    (tunnel(name=None), "/name"),
    (tunnel(name="Upper"), "/name"),
    (tunnel(name="-dash"), "/name"),
    (tunnel(name="x" * 64), "/name"),
    (tunnel(name=7), "/name"),
    (tunnel(private_key=None), "/private_key"),
    (tunnel(private_key="short="), "/private_key"),
    (tunnel(private_key=KEY[:-2] + "=="), "/private_key"),
    (tunnel(addresses=[]), "/addresses"),
    (tunnel(addresses=["10.9.0.2/33"]), "/addresses/0"),
    (tunnel(addresses=["10.9.0.2/32", "10.9.0.256/32"]), "/addresses/1"),
    (tunnel(mtu=575), "/mtu"),
    (tunnel(mtu=1e9), "/mtu"),
    (tunnel(mtu=1420.5), "/mtu"),
    (tunnel(mtu="1420"), "/mtu"),
    (tunnel(peers="gw"), "/peers"),
    (tunnel(nonsense=1), "/nonsense"),
    (tunnel(MTU=1420), "/MTU"),
    (tunnel(peer={"public_key": KEY[1:]}), "/peers/0/public_key"),
    (tunnel(peer={"preshared_key": "x"}), "/peers/0/preshared_key"),
    (tunnel(peer={"endpoint": "192.0.2.1"}), "/peers/0/endpoint"),
    (tunnel(peer={"endpoint": "192.0.2.1:0"}), "/peers/0/endpoint"),
    (tunnel(peer={"endpoint": "192.0.2.1:65536"}), "/peers/0/endpoint"),
    (tunnel(peer={"endpoint": "two words:51820"}), "/peers/0/endpoint"),
    (tunnel(peer={"allowed_ips": ["192.168.4.0/24/8"]}), "/peers/0/allowed_ips/0"),
    (tunnel(peer={"allowed_ips": ["fd00::/129"]}), "/peers/0/allowed_ips/0"),
    (tunnel(peer={"keepalive_seconds": 65536}), "/peers/0/keepalive_seconds"),
    (tunnel(peer={"nonsense": 1}), "/peers/0/nonsense"),
]

REFUSED_FORWARDS = [
    (forward(name="UPPER"), "/name"),
    (forward(tunnel=None), "/tunnel"),
    (forward(tunnel="unknown"), "/tunnel"),
    (forward(direction="sideways"), "/direction"),
    (forward(protocol="sctp"), "/protocol"),
    (forward(target=None), "/target"),
    (forward(target={"host": "192.168.4.2"}), "/target/port"),
    (forward(target={"host": "192.168.4.2", "port": 0}), "/target/port"),
    (forward(target={"host": "192.168.4.2", "port": 65536}), "/target/port"),
    (forward(target={"host": "192.168.4.256", "port": 80}), "/target/host"),
    (forward(target={"host": "", "port": 80}), "/target/host"),
    (forward(listen={"address": "localhost:1", "port": 0}), "/listen/address"),
    (forward(listen={"address": "127.0.0.1", "port": -1}), "/listen/port"),
    (forward(listen={"address": "127.0.0.1", "port": "80"}), "/listen/port"),
    (forward(listen={"address": "127.0.0.1", "port": 0, "extra": 1}), "/listen/extra"),
    (forward(connect_timeout_seconds=0), "/connect_timeout_seconds"),
    (forward(connect_timeout_seconds=301), "/connect_timeout_seconds"),
    (forward(idle_timeout_seconds=-1), "/idle_timeout_seconds"),
    (forward(listen={"address": "127.0.0.1", "port": 80.9}), "/listen/port"),
    (forward(target={"host": "192.168.4.2", "port": 1e10}), "/target/port"),
    (forward(idle_timeout_seconds=2 ** 53 + 1), "/idle_timeout_seconds"),
    (forward(idle_timeout_seconds=2 ** 64 + 1), "/idle_timeout_seconds"),
    (forward(enabled="yes"), "/enabled"),
    (forward(NAME="web"), "/NAME"),
    (forward(**{"na\u043ce": "web"}), "/na\u043ce"),
    (forward(nonsense=1), "/nonsense"),
]

NOT_JSON = [b"", b"{", b"{}x", b'{"a":1,}', b'{"name":"a","name":"b"}', b'{"name":"\xff"}',
            b'{"name":"a\\u0000b"}', b'{"mtu":01}', b'{"mtu":NaN}', b"[" * 10_000, b"nul",
            b'{"mtu":1e400}', b"{'name':'a'}"]


def snapshot(service):
    """All definitions, without their counters."""
    answer = []
    for kind in ("tunnels", "forwards"):
        status, listing = service.call("GET", f"/v1/{kind}")
        assert status == 200
        for item in listing["items"]:
            item.pop("status", None)
            answer.append(item)
    return answer


@pytest.fixture(name="undisturbed")
def running_transfer(scene, tunnel, service, nginx, far_host, tmp_path):
    """A transfer goes on during the test and comes whole; the definitions stay what they are."""
    web = service.forward((far_host, 80), name="web")
    before = snapshot(service)
    workers = service.workers()
    with files.Download(scene.ours, web.url("/large"), tmp_path / "got") as download:
        yield
        assert snapshot(service) == before
        assert service.workers() == workers
        assert download.sha256() == nginx.large.sha256


def refuse(service, kind, document, status):
    """The problem of a refused creation."""
    answered, problem = service.call("POST", f"/v1/{kind}", document)
    assert answered == status, (document, problem)
    assert problem["status"] == status
    assert problem["type"] and problem["title"] and problem["detail"]
    return problem


@pytest.mark.usefixtures("undisturbed")
def test_every_field_is_checked(service):
    for kind, refused in (("tunnels", REFUSED_TUNNELS), ("forwards", REFUSED_FORWARDS)):
        for document, pointer in refused:
            problem = refuse(service, kind, document, 422)
            pointers = [error["pointer"] for error in problem["errors"]]
            assert any(found == pointer or found.startswith(pointer + "/")
                       for found in pointers), (document, problem)
            assert all(error["code"] and error["detail"] for error in problem["errors"])


@pytest.mark.usefixtures("undisturbed")
def test_all_problems_are_named_at_once(service):
    problem = refuse(service, "forwards", {"tunnel": "unknown", "colour": "red",
                                           "listen": {"address": "127.0.0.1", "port": 70000},
                                           "target": {"host": "x y", "port": 0}}, 422)
    pointers = {error["pointer"] for error in problem["errors"]}
    assert {"/colour", "/listen/port", "/target/host", "/target/port"} <= pointers


@pytest.mark.usefixtures("undisturbed")
def test_what_is_not_json(service):
    headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
    for body in NOT_JSON:
        answer = service.request("POST", "/v1/tunnels", body, headers)
        assert answer.status == 400, (body, answer)
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert json.loads(answer.body)["status"] == 400
    for body in (b"7", b"[]", b"null", b'"x"'):
        assert service.request("POST", "/v1/tunnels", body, headers).status in (400, 422)
    headers["Content-Type"] = "text/plain"
    assert service.request("POST", "/v1/tunnels", b"{}", headers).status == 415
    headers["Content-Type"] = "application/json"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read it all
        assert service.request("POST", "/v1/tunnels", b" " * (2 << 20), headers).status == 413


@pytest.mark.usefixtures("undisturbed")
def test_conflicts(scene, service):
    with scene.ours.listen("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        refuse(service, "forwards", forward(listen={"address": "127.0.0.1", "port": port}), 409)
    refuse(service, "forwards", forward(name="web"), 409)
    refuse(service, "tunnels", tunnel(name="home"), 409)
    # Not a port or an address of this machine.
    refuse(service, "forwards", forward(listen={"address": "192.0.2.77", "port": 0}), 409)


@pytest.mark.usefixtures("undisturbed")
def test_who_may_call(service):
    """No token, a wrong one, a foreign page: refused. The Unix socket needs no token."""
    body = json.dumps(forward()).encode()
    plain = {"Content-Type": "application/json"}
    for authorization in (None, "Bearer ", "Bearer x", f"Bearer {KEY}", f"Basic {KEY}",
                          service.token, f"Bearer {service.token[:-1]}"):
        headers = dict(plain)
        if authorization is not None:
            headers["Authorization"] = authorization
        answer = service.request("POST", "/v1/forwards", body, headers)
        assert answer.status == 401, authorization
        assert answer.headers["WWW-Authenticate"]
        assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert service.request("GET", "/v1/forwards").status == 401
    admin = {**plain, "Authorization": f"Bearer {service.token}"}
    for header in ({"Host": "attacker.example"}, {"Origin": "http://attacker.example"},
                   {"Sec-Fetch-Site": "cross-site"}):
        assert service.request("POST", "/v1/forwards", body, {**admin, **header}).status \
            in (400, 403, 421), header
    assert service.request("GET", "/v1/forwards", unix=True).status == 200
    assert service.request("GET", "/livez").status == 401


@pytest.mark.usefixtures("undisturbed")
def test_what_is_hidden_in_a_path(service):
    """An object is named by its exact name alone: no escape, case or parameter leads to it."""
    token = {"Authorization": f"Bearer {service.token}"}
    for hidden in ("web%00", "web%00x", "web%20", "web%0a", "web%0d%0a", "web/",
                   "web//", "/web", "./web", "x/../web", "web%2f", "%2e%2e%2fforwards%2fweb", "WEB",
                   "web;a=b", "web%3fcascade=true", "w%c3%a9b", "web%", "web%0", "web%zz", "web#",
                   "%c0%ae%c0%ae", "%ff", "web" * 200, "x" * 40_000):
        answer = service.request("DELETE", f"/v1/forwards/{hidden}", headers=token)
        assert 400 <= answer.status < 500, (hidden, answer)
    for query in ("?cascade=true", "?x=y", "?limit=1&limit=2", "?%00", "?limit=1%00", "?=", "?&&&"):
        answer = service.request("DELETE", f"/v1/forwards/web{query}", headers=token)
        assert answer.status == 400, (query, answer)


@pytest.mark.usefixtures("undisturbed")
def test_paths_and_methods(service):
    token = {"Authorization": f"Bearer {service.token}"}
    for path in ("/v1/forwards/unknown", "/v1/nothing", "/v1/forwards/a%00b", "/v1/forwards/web%00",
                 "/v1/forwards/web%2f", "/v1/forwards/%ff", "/v1/forwards/../forwards/web", "/v2"):
        assert service.request("DELETE", path, headers=token).status in (400, 404, 405), path
    answer = service.request("PATCH", "/v1/tunnels", headers=token)
    assert answer.status == 405
    assert "POST" in answer.headers["Allow"]
    assert service.request("BREW", "/v1/tunnels", headers=token).status in (405, 501)


def test_secrets_are_write_only(service, account, scene):
    """Neither the API nor the log shows a secret."""
    definition = account.tunnel()
    definition["peers"][0]["preshared_key"] = preshared = wgpeer.preshared_key()
    created = service.create("tunnels", definition)
    assert created["public_key"] == account.keys.public
    assert created["peers"][0]["has_preshared_key"] is True
    shown = json.dumps([created, service.get("tunnels", "home")]) + service.log
    for secret in (account.keys.private, preshared, service.token):
        assert secret not in shown
    assert service.data.stat().st_mode & 0o077 == 0
    for path in service.data.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert scene.far[0].peer.keys.public in shown
