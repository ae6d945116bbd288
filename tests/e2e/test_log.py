"""The log: as JSON, every line of control and of the workers has its object in a field."""

import json

from support import servers


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
