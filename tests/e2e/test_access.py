"""Who may call the service, and through which door."""

import http.client

from support import manytun

HEALTH = ("127.0.0.1", 8686)


def ask(service, address, path):
    """The status of a GET without a token."""
    connection = manytun.NamespaceConnection(service.namespace, address)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_health_listener_needs_no_token(make_service):
    service = make_service("--health-listen", "%s:%d" % HEALTH)
    for path in ("/livez", "/readyz", "/metrics"):
        assert ask(service, HEALTH, path) == http.client.OK
        assert ask(service, service.address, path) == http.client.UNAUTHORIZED
    assert ask(service, HEALTH, "/v1/status") == http.client.NOT_FOUND
