"""The log: as JSON, every line of control and of the workers has its object in a field."""

import json

from support import servers, wait


def lines(service):
    return [json.loads(line) for line in service.log.splitlines()]


def test_json(make_service, account, serve, far_host):
    service = make_service("--log-format", "json", "--log", "debug")
    service.create("tunnels", account.tunnel())
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
    assert service.stop() == 0
    logged = lines(service)
    for line in logged:
        assert {"time", "level", "message"} <= line.keys() \
            <= {"time", "level", "message", "worker", "tunnel", "forward"}
    assert any(line.get("tunnel") == "home" and "handshake" in line["message"] for line in logged)
    assert any(line.get("forward") == forward.name and "worker" not in line for line in logged)
    # A worker's own line.
    assert any(line.get("forward") == forward.name and "worker" in line
               and "connection ended" in line["message"] for line in logged)
    assert account.keys.private not in service.log
    assert service.token not in service.log


def test_a_problem_and_its_end(scene, make_service, tunnel, service, far_host):
    """Each is one line at the default level, whatever follows from it."""
    forward = service.forward((far_host, 80), tunnel=tunnel["name"], name="web")
    service.stop()
    seen = len(service.log)

    def told():
        return [line.split(maxsplit=2)[1:] for line in service.log[seen:].splitlines()
                if "forward web: " in line]

    with scene.ours.listen(*forward.address):
        service.start()
        wait.until(lambda: any("Listening is False" in text for _, text in told()), "it is told")
    wait.until(lambda: any("Listening is True" in text for _, text in told()), "its end is told")
    (*_, (warn, problem), (info, _), (last, end)) = told()
    assert (warn, info, last) == ("warn", "info", "info"), told()
    assert "another socket has this address and port" in problem
    assert end == "forward web: Listening is True"
    assert sum(level == "warn" for level, _ in told()) == 1, told()


def test_what_the_resolver_says(scene, make_service, account, tmp_path):
    """Lines of the library that asks name servers are lines of the log, too."""
    servers_file = tmp_path / "resolv.conf"
    servers_file.write_text("nameserver 203.0.113.53\n")  # to which there is no way
    scene.ours.run("mount", "--bind", servers_file, "/etc/resolv.conf")
    try:
        service = make_service("--log-format", "json")
        definition = account.tunnel()
        definition["peers"][0]["endpoint"] = "peer.test:51820"
        service.create("tunnels", definition)
        wait.until(lambda: "Nameserver 203.0.113.53" in service.log, "the name server is told of")
    finally:
        scene.ours.run("umount", "/etc/resolv.conf")
    line, = [line for line in lines(service) if "Nameserver" in line["message"]]
    assert line["level"] == "info" and line["message"].startswith("libevent: ")
