"""Endpoints by name, against a name server of our own in the namespace."""

import contextlib

import pytest

from support import dns, servers, wait

# An initiation, a second of patience, a lookup, and the next initiation, on a slow machine.
FOUND = 15
SEED = 20240229


@pytest.fixture(name="files")
def fixture_files(scene, tmp_path):
    """/etc/resolv.conf and /etc/hosts in our namespace, to be written in place."""
    paths = {}
    for name in ("resolv.conf", "hosts"):
        paths[name] = tmp_path / name
        paths[name].write_text("")
        scene.ours.run("mount", "--bind", paths[name], f"/etc/{name}")
    yield paths
    for name in paths:
        scene.ours.run("umount", f"/etc/{name}")


@pytest.fixture(name="names")
def fixture_names(scene, files):
    """The name server that /etc/resolv.conf names."""
    with dns.Server(scene.ours) as server:
        files["resolv.conf"].write_text(f"nameserver {server.address}\n")
        yield server


@pytest.fixture(name="use")
def fixture_use(service, account, serve, far_host):
    """use(name): a tunnel whose peer has that name, and a forward through it to an echo server."""
    def make(name, **more):
        definition = account.tunnel() | more
        definition["peers"][0]["endpoint"] = f"{name}:{account.far.peer.port}"
        service.create("tunnels", definition)
        return service.forward((far_host, serve(servers.echo).port))
    return make


def works(forward, timeout=FOUND):
    """Waits until a connection through the forward is answered."""
    def try_once():
        with contextlib.suppress(OSError), forward.connect(timeout=1) as connection:
            connection.sendall(b"x")
            return connection.recv(1) == b"x"
        return False
    wait.until(try_once, "the peer is reached", timeout=timeout)


def resolved(service):
    """The tunnel's EndpointResolved: (status, reason)."""
    for condition in service.get("tunnels", "home")["status"]["conditions"]:
        if condition["type"] == "EndpointResolved":
            return condition["status"], condition["reason"]
    raise KeyError("EndpointResolved")


def resolution(service):
    """What is said of the endpoint of the tunnel's peer."""
    peer, = service.get("tunnels", "home")["status"]["peers"]
    return peer["endpoint_resolved"]


@contextlib.contextmanager
def another_address(far, address="10.99.1.22"):
    """The far side has a second outer address meanwhile."""
    device = f"veth{far.link.far4.split('.')[2]}"
    far.namespace.run("ip", "address", "add", f"{address}/24", "dev", device)
    try:
        yield address
    finally:
        far.namespace.run("ip", "address", "del", f"{address}/24", "dev", device)


@contextlib.contextmanager
def gone(far, address):
    """The far side is not there at that address meanwhile, and says nothing from there."""
    family = "ip6" if ":" in address else "ip"
    far.namespace.run("nft", f"""
table inet moved {{
    chain in {{ type filter hook input priority 0; {family} daddr {address} udp dport 51820 drop; }}
    chain out {{ type filter hook output priority 0; {family} saddr {address} udp sport 51820 drop; }}
}}""")
    try:
        yield
    finally:
        far.namespace.run("nft", "delete", "table", "inet", "moved")


def test_name_that_is_not_there_yet(service, names, use, scene):
    """A tunnel is made at once, says why it is not ready, and works when the name is there."""
    forward = use("gw.example.org")
    wait.until(lambda: resolved(service) == ("False", "NameNotFound"), "the lookup failed")
    ready = service.get("tunnels", "home")["status"]["conditions"][0]
    assert ready["reason"] == "NameNotFound" and "does not exist" in ready["message"]
    said = resolution(service)
    assert (said["status"], said["reason"]) == ("False", "NameNotFound") and said["message"]
    assert "addresses" not in said
    wait.until(lambda: "next_lookup_at" in resolution(service), "it is tried again")
    far = scene.far[0]
    names.names["gw.example.org"] = [far.link.far4]
    works(forward)
    assert resolved(service) == ("True", "Resolved")
    assert resolution(service) == {"status": "True", "reason": "Resolved", "message": "",
                                   "addresses": [f"{far.link.far4}:{far.peer.port}"]}
    assert names.asked("gw.example.org") < 30


@pytest.mark.parametrize("broken,reason", [
    (dns.nothing, "NameServersFailed"), (dns.failure, "NameServersFailed"),
    (dns.refusal, "LookupRefused"), (dns.nobody, "NoAddresses"),
    (dns.truncated, "AnswerTooLong"), (dns.garbage(SEED), None)],
    ids=["nothing", "failure", "refusal", "nobody", "truncated", "garbage"])
def test_name_server_that_is_broken(service, names, use, scene, broken, reason):
    """However a name server answers, nothing is harmed, the tunnel says what is wrong, and the
    truth is found when it comes."""
    names.names["gw.example.org"] = [scene.far[0].link.far4]
    names.behave = broken
    forward = use("gw.example.org")
    if reason:
        wait.until(lambda: resolved(service) == ("False", reason), reason, timeout=40)
    wait.until(lambda: names.asked() >= 6, "it asked again and again", timeout=40)
    assert service.call("GET", "/v1/status")[0] == 200
    names.behave = dns.truthfully
    works(forward, timeout=30)


def test_moves_while_it_is_being_called(service, names, use, scene, account):
    """Dynamic DNS: initiations go unanswered, the name is looked up again, and the peer found."""
    far = scene.far[0]
    names.names["gw.example.org"] = [far.link.far4]
    with another_address(far) as address, gone(far, far.link.far4):
        forward = use("gw.example.org")
        with contextlib.suppress(OSError):
            forward.connect(timeout=1).close()
        names.names["gw.example.org"] = [address]
        works(forward)
        assert far.peer.endpoint(account.keys.public)[0] == far.link.near4
        assert resolution(service)["addresses"] == [f"{address}:{far.peer.port}"]

        def told():
            items = service.call("GET", "/v1/events?limit=1000")[1]["items"]
            return [item["message"] for item in items if item["type"] == "tunnel.readdressed"]
        wait.until(told, "an event tells of it")
        assert told() == [f"peer gw: gw.example.org is {address}:{far.peer.port} now"]


@pytest.mark.slow
def test_moves_during_a_session(service, names, use, scene, account):
    """The same when there is a session: found 15 s after the silence, from the same port of ours."""
    far = scene.far[0]
    names.names["gw.example.org"] = [far.link.far4]
    forward = use("gw.example.org")
    works(forward)
    asked = names.asked()
    outer = far.peer.endpoint(account.keys.public)
    with another_address(far) as address, gone(far, far.link.far4):
        names.names["gw.example.org"] = [address]
        works(forward, timeout=60)
        assert far.peer.endpoint(account.keys.public) == outer
        assert names.asked() > asked
        # Where it is heard from now counts, and not what the name says.
        names.names["gw.example.org"] = ["10.99.1.99"]
        works(forward)
        peer, = service.get("tunnels", "home")["status"]["peers"]
        assert peer["endpoint"] == f"{address}:{far.peer.port}"


@pytest.mark.parametrize("dead", [4, 6])
def test_one_family_does_not_work(names, use, scene, dead):
    """The peer has an address of each family; the one that does not answer is left."""
    link = scene.far[0].link
    names.names["gw.example.org"] = [link.far4, link.far6]
    with gone(scene.far[0], link.far4 if dead == 4 else link.far6):
        works(use("gw.example.org"))


def test_family_without_a_route(names, use, scene):
    """An address that the host has no route to is not even tried first."""
    names.names["gw.example.org"] = ["2001:db8::1", scene.far[0].link.far4]
    works(use("gw.example.org"), timeout=4)


def test_family_without_a_socket(service, names, use, scene):
    """A tunnel that is bound to an IPv4 address cannot call where there is only IPv6, and says so."""
    link = scene.far[0].link
    names.names["gw.example.org"] = [link.far6]
    forward = use("gw.example.org", listen_address=link.near4)
    wait.until(lambda: resolved(service) == ("False", "FamilyNotAvailable"), "it says so")
    names.names["gw.example.org"] = [link.far6, link.far4]
    works(forward)


def test_answer_of_one_family_only(names, use, scene):
    """A name server that ignores questions for one family does not hold up the other."""
    names.names["gw.example.org"] = [scene.far[0].link.far4]
    names.behave = dns.only(dns.A)
    works(use("gw.example.org"), timeout=30)


def test_search_domains(names, use, scene, files):
    """As in a pod of Kubernetes: a short name, search domains and many dots."""
    files["resolv.conf"].write_text(f"nameserver {names.address}\n"
                                    "search a.svc.cluster.local svc.cluster.local cluster.local\n"
                                    "options ndots:5\n")
    names.names["gw.vpn.svc.cluster.local"] = [scene.far[0].link.far4]
    works(use("gw.vpn"))


def test_final_dot(names, use, scene):
    """A name that is complete."""
    names.names["gw.example.org"] = [scene.far[0].link.far4]
    works(use("gw.example.org."))


def test_name_server_with_letters_of_its_own(names, use, scene):
    """Some name servers answer in another case than they were asked in."""
    names.names["gw.example.org"] = [scene.far[0].link.far4]
    names.behave = dns.in_lower_case
    works(use("GW.Example.org"))


def test_hosts_file(use, scene, files):
    """The hosts file is enough, and is read again when it has changed."""
    far = scene.far[0]
    files["hosts"].write_text(f"{far.link.far4} other\n")
    with dns.Server(scene.ours):  # knows nothing
        files["resolv.conf"].write_text("nameserver 127.0.0.53\n")
        forward = use("gw")
        files["hosts"].write_text(f"{far.link.far4} gw\n")
        works(forward)


def test_another_name_server(service, use, scene, files):
    """A service that runs follows its host to another name server."""
    files["resolv.conf"].write_text("nameserver 127.0.0.54\n")  # nobody is there
    forward = use("gw.example.org")
    wait.until(lambda: resolved(service) == ("False", "NameServersFailed"), "the lookup failed",
               timeout=30)
    with dns.Server(scene.ours) as names:
        names.names["gw.example.org"] = [scene.far[0].link.far4]
        files["resolv.conf"].write_text(f"nameserver {names.address}\n")
        works(forward, timeout=40)
    assert "resolv.conf has changed" in service.log
