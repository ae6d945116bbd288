"""Fixtures: the scene is made once, an account with the peer and a service per test."""

import os
import signal

import pytest

from support import files, manytun, servers, topology


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):  # pylint: disable=unused-argument
    """Where everything must run (CI=true), a skipped test has failed."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI must run it: {report.longrepr[2]}"


@pytest.fixture(autouse=True, scope="session")
def program():
    """Nothing can be tested without it."""
    reason = manytun.missing_requirement()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def deadline(request):
    """Ends a test that hangs; what it measures has limits of its own."""
    def expire(*_):
        raise TimeoutError("the test hangs")

    signal.signal(signal.SIGALRM, expire)
    signal.alarm(900 if request.node.get_closest_marker("slow") else 2 * files.PATIENCE)
    yield
    signal.alarm(0)


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """Our namespace and the peers (support.topology)."""
    reason = topology.missing_requirement()
    if reason is not None:
        pytest.skip(reason)
    with topology.Topology(tmp_path_factory.mktemp("scene")) as made:
        yield made


@pytest.fixture(scope="session")
def nginx(scene, tmp_path_factory):
    """nginx behind the first peer, with the files /large, /medium (.large, .medium) and /small."""
    reason = servers.Nginx.missing_requirement()
    if reason is not None:
        pytest.skip(reason)
    server = servers.Nginx(scene.far[0].namespace, tmp_path_factory.mktemp("nginx"))
    server.large = files.RandomFile(server.files / "large", files.LARGE)
    server.medium = files.RandomFile(server.files / "medium", files.LARGE // 10)
    (server.files / "small").write_text("small\n")
    yield server
    server.close()


@pytest.fixture
def account(scene):
    """Keys and addresses that the first peer knows."""
    with topology.Account(scene.far[0]) as made:
        yield made


@pytest.fixture
def make_service(scene, tmp_path):
    """make_service(*arguments): a service that was started in our namespace."""
    made = []

    def make(*arguments, data=None):
        directory = tmp_path / f"service{len(made)}"
        directory.mkdir()
        service = manytun.Service(scene.ours, directory, *arguments, data=data)
        made.append(service)
        return service.start()

    yield make
    for service in made:
        code = service.stop()
        print(service.log)  # pytest shows it when the test has failed
        assert code in (0, None), f"the service ended with {code}:\n{service.log}"
        assert "ERROR: AddressSanitizer" not in service.log, service.log
        assert "ERROR: LeakSanitizer" not in service.log, service.log
        assert "runtime error:" not in service.log, service.log


@pytest.fixture
def service(make_service):
    """A service without any definition."""
    return make_service()


@pytest.fixture
def tunnel(service, account):
    """The tunnel "home" to the first peer, in `service`."""
    return service.create("tunnels", account.tunnel())


@pytest.fixture
def serve(scene):
    """serve(handler, far=0): a server behind a peer; it fails the test if a handler failed."""
    made = []

    def make(handler, far=0):
        server = servers.Server(scene.far[far].namespace, handler)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()
        assert not server.failures, server.failures


@pytest.fixture
def far_host(scene):
    """The inner IPv4 address of the peers, and of the servers behind them."""
    return scene.far[0].peer.v4
