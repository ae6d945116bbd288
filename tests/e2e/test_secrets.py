"""Where keys and tokens are found after they were used in every way: only where they belong.

A tunnel's private key and its preshared keys, as 32 bytes, belong into control, which has the
definitions, and into the worker that runs the tunnel. The master key belongs into control and its
file, a token into nothing of ours but admin.token. Keys as text (base64, hex) belong nowhere, and
what was deleted, replaced or refused is nowhere in any form.
"""

import json
import pathlib

import pytest

from support import secrecy, wait, wgpeer

PEER = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Keys:
    """Makes keys and notes them by what they are for."""

    def __init__(self):
        self.secrets = secrecy.Secrets()

    def new(self, label):
        key = wgpeer.preshared_key()
        self.secrets.add_key(label, key)
        return key


@pytest.fixture(name="keys")
def noted_keys():
    return Keys()


def tunnel(keys, name, **more):
    """A definition with two secrets, labelled with its name."""
    peer = {"name": "gw", "public_key": PEER, "endpoint": "127.0.0.1:9",
            "allowed_ips": ["10.9.0.0/24"], "preshared_key": keys.new(f"{name} psk")}
    return {"name": name, "private_key": keys.new(f"{name} key"), "addresses": ["10.9.0.2/32"],
            "peers": [peer], **more}


def wg_quick(keys, name):
    return (f"[Interface]\nPrivateKey = {keys.new(f'{name} key')}\nAddress = 10.9.0.2/32\n"
            f"[Peer]\nPublicKey = {PEER}\nPresharedKey = {keys.new(f'{name} psk')}\n"
            "AllowedIPs = 10.9.0.0/24\n").encode()


def send(service, method, path, body, status, kind="application/json", **headers):
    """One request of the admin over TCP."""
    answer = service.request(method, path, body, {"Authorization": f"Bearer {service.token}",
                                                  "Content-Type": kind, **headers})
    assert answer.status == status, answer


def declare(keys, directory):
    """A file that defines a tunnel with its secrets inside, and one with them in other files."""
    outside = tunnel(keys, "outside")
    for holder, name in ((outside, "private_key"), (outside["peers"][0], "preshared_key")):
        path = directory / name
        path.touch(mode=0o600)
        path.write_text(holder.pop(name) + "\n")
        holder[f"{name}_file"] = str(path)
    path = directory / "declared.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"tunnels": [tunnel(keys, "declared"), outside]}))
    return path


def use(service, keys):
    """Every way in which a secret comes in and stays."""
    service.create("tunnels", tunnel(keys, "posted"))
    send(service, "PUT", "/v1/tunnels/put", json.dumps(tunnel(keys, "put")).encode(), 201)
    send(service, "PUT", "/v1/tunnels/imported/config", wg_quick(keys, "imported"), 201,
         "text/plain")
    whole = {"tunnels": [tunnel(keys, "applied")], "forwards": []}
    send(service, "PUT", "/v1/config", json.dumps(whole).encode(), 200)
    peer = {"public_key": PEER[:-4] + "xx8=", "allowed_ips": ["10.8.0.0/24"],
            "preshared_key": keys.new("extra psk")}
    send(service, "PUT", "/v1/tunnels/posted/peers/extra", json.dumps(peer).encode(), 201)
    send(service, "GET", "/v1/tunnels/posted/config", None, 200)
    send(service, "GET", "/v1/config", None, 200)


def misuse(service, keys):
    """Every way in which a secret comes in and does not stay."""
    refused = "/v1/tunnels"
    send(service, "POST", refused, json.dumps(tunnel(keys, "gone refused", mtu=1)).encode(), 422)
    send(service, "POST", refused, json.dumps(tunnel(keys, "gone half")).encode()[:-1], 400)
    send(service, "POST", refused, json.dumps(tunnel(keys, "gone type")).encode(), 415,
         "text/plain")
    taken = {**tunnel(keys, "gone taken"), "name": "posted"}
    send(service, "POST", refused, json.dumps(taken).encode(), 409)
    send(service, "PUT", "/v1/tunnels/put", json.dumps({**tunnel(keys, "gone stale"),
                                                        "name": "put"}).encode(), 412,
         **{"If-Match": '"77"'})
    send(service, "PUT", "/v1/tunnels/x/config", wg_quick(keys, "gone bad") + b"X = 1\n[Y]\n",
         422, "text/plain")
    send(service, "PUT", "/v1/tunnels/x/config?dry_run=true", wg_quick(keys, "gone dry"), 200,
         "text/plain")
    send(service, "GET", f"/v1/tunnels?cursor={keys.new('gone query')}", None, 400)
    whole = {"tunnels": [tunnel(keys, "gone applied", mtu=1)], "forwards": []}
    send(service, "PUT", "/v1/config", json.dumps(whole).encode(), 422)
    whole = {"tunnels": [tunnel(keys, "gone-dry")], "forwards": []}
    send(service, "PUT", "/v1/config?dry_run=true", json.dumps(whole).encode(), 200)
    # A key where a name, a number or a public key is expected: messages must not repeat it.
    for field in ("name", "mtu", "addresses"):
        document = {**tunnel(keys, f"gone {field}"), field: keys.new(f"gone as {field}")}
        send(service, "POST", refused, json.dumps(document).encode(), 422)
    for body in (b" " * 5000 + json.dumps(tunnel(keys, "gone long")).encode() + b"x" * 100_000,):
        send(service, "POST", refused, body, 400)
    # Cut off in the middle of the body.
    body = json.dumps(tunnel(keys, "gone cut")).encode()
    head = (f"POST /v1/tunnels HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {service.token}\r\nContent-Length: {len(body) + 1}\r\n\r\n")
    with service.namespace.connect(service.address) as connection:
        connection.sendall(head.encode() + body)


def replace(service, keys):
    """Secrets that were there and are no more."""
    for step in ("first", "second"):
        document = tunnel(keys, f"gone {step}")
        send(service, "PUT", "/v1/tunnels/changed", json.dumps({**document, "name": "changed"})
             .encode(), 201 if step == "first" else 200)
    patch = {"private_key": keys.new("changed key"), "peers": []}
    send(service, "PATCH", "/v1/tunnels/changed", json.dumps(patch).encode(), 200)
    document = tunnel(keys, "gone deleted")
    send(service, "POST", "/v1/tunnels", json.dumps({**document, "name": "deleted"}).encode(), 201)
    service.delete("tunnels", "deleted")


def tokens(service, keys):
    """Right and wrong tokens."""
    keys.secrets.add_text("token", service.token)
    status, answer = service.call("POST", "/v1/tokens", {"name": "second", "role": "read"})
    assert status == 201, answer
    keys.secrets.add_text("gone second token", answer["token"])
    for token in (answer["token"], keys.new("gone wrong token")):
        service.request("GET", "/v1/tunnels", headers={"Authorization": f"Bearer {token}"})
    service.delete("tokens", "second")
    keys.secrets.add_text("gone old text", keys.new("gone old token"))


def forms(found, form):
    return {what.label for what in found if what.form == form}


def connections(service):
    """How many connections to the API control has, as the kernel sees it."""
    table = pathlib.Path(f"/proc/{service.pid}/net/tcp").read_text().splitlines()[1:]
    ours = f":{service.address[1]:04X}"
    return sum(fields[1].endswith(ours) and fields[3] in ("01", "08")
               for fields in map(str.split, table))


def check_places(service, keys):
    """All that is found is where it belongs, when every connection has ended."""
    wait.until(lambda: connections(service) == 0, "the clients' connections have ended")
    live = {f"{name} {what}" for name in ("posted", "put", "imported", "applied", "declared", "outside")
            for what in ("key", "psk")} | {"changed key", "extra psk"}
    control = keys.secrets.in_process(service.pid)
    belongs = {secrecy.Found(label, "raw") for label in live | {"master key"}}
    assert control - belongs == set()
    assert control >= {secrecy.Found(label, "raw") for label in live}, "the search finds nothing"
    for worker in service.workers():
        assert keys.secrets.in_process(worker) - {secrecy.Found(label, "raw") for label in live} \
            == set()
    assert keys.secrets.search(service.log.encode()) == set()
    assert keys.secrets.in_files(service.data) == {
        "admin.token": {secrecy.Found("token", "text")},
        "master.key": {secrecy.Found("master key", "base64")}}


@pytest.mark.plain_build
def test_secrets_are_only_where_they_belong(make_service, keys, tmp_path):
    service = make_service("--log", "debug", "--workers", "1", "--config",
                           declare(keys, tmp_path))
    keys.secrets.add_key("master key", (service.data / "master.key").read_text().strip())
    for step in (use, misuse, replace, tokens):
        step(service, keys)
    check_places(service, keys)
    assert service.stop() == 0
    service.start()
    check_places(service, keys)
