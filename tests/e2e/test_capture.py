"""The packets inside a tunnel: all of them, once, as the other side's tcpdump sees them."""

import os
import signal
import threading

import pytest

from support import files, manytun, pcap, servers, wait


@pytest.fixture(autouse=True, scope="module")
def need_tcpdump(scene):
    if scene.ours.run("tcpdump", "--version", check=False).returncode != 0:
        pytest.skip("tcpdump is not installed")


class Capture:
    """A client of the capture that reads in the background. Use as a context manager."""

    def __init__(self, service, query=""):
        self._client = service.client()
        self._answer = self._client.open("GET", f"/v1/tunnels/home/capture{query}")
        assert self._answer.status == 200, self._answer.read()
        assert self._answer.getheader("Content-Type") == "application/vnd.tcpdump.pcap"
        self.data = self._answer.read(pcap.FILE_HEADER.size)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.__exit__()
        self._thread.join()

    def _run(self):
        while chunk := self._answer.read1(1 << 16):
            self.data += chunk

    def finish(self):
        """Waits for the end, which must be a clean one; the packets."""
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()
        return pcap.read(self.data)


def events(service):
    """(type, message, actor) of everything that was said about the tunnel."""
    status, page = service.call("GET", "/v1/events?kind=tunnel&name=home&limit=1000")
    assert status == 200
    return [(item["type"], item.get("message"), item["actor"]) for item in page["items"]]


def echo(forward, *payloads):
    """Sends each when the one before has come back."""
    with forward.connect() as connection:
        for payload in payloads or (b"hello",):
            connection.sendall(payload)
            assert servers.read_exactly(connection, len(payload)) == payload


@pytest.mark.usefixtures("tunnel")
def test_every_packet_once(scene, service, account, serve, far_host, tmp_path):
    """In the order in which they passed, both ways: what wg0 of the other side sees."""
    far = scene.far[0]
    forward = service.forward((far_host, serve(servers.echo).port))
    witness = pcap.Sniffer(far.namespace, far.peer.interface, tmp_path / "theirs.pcap",
                           "host", account.v4, "or", "host", account.v6)
    with witness, Capture(service) as capture:
        echo(forward)
        # So little at a time that no socket buffer on the way overflows, however slow the machine:
        # what is lost outside the tunnel is seen by one of the two only.
        echo(forward, *(os.urandom(20_000) for _ in range(15)))
        far.namespace.run("ping", "-c", "3", "-i", "0.2", "-s", "1200", account.v4)
        far.namespace.run("ping", "-c", "1", account.v6)
        service.call("DELETE", "/v1/tunnels/home?cascade=true")
        ours = capture.finish()
        witness.wait_for(len(ours))
    theirs = witness.packets()
    assert sorted(packet.bytes for packet in ours) == sorted(packet.bytes for packet in theirs)
    assert [packet.time for packet in ours] == sorted(packet.time for packet in ours)
    assert abs(ours[0].time - theirs[0].time) < 5
    (tmp_path / "ours.pcap").write_bytes(capture.data)
    lines = pcap.tcpdump(tmp_path / "ours.pcap")
    assert len(lines) == len(ours)
    assert f"IP {account.v4}." in lines[0] and "Flags [S]" in lines[0]
    assert any("ICMP echo reply" in line for line in lines)
    assert any(line.endswith("length 5") for line in lines)
    assert ("tunnel.capture_started", None, "uid:0") in events(service)
    ended = wait.until(lambda: [event for event in events(service)
                                if event[0] == "tunnel.capture_ended"], "the end is recorded")
    assert ended[0][1] == f"{len(ours)} packets were captured, 0 left out for a slow reader"


@pytest.fixture(name="session")
def session_with_the_peer(service, tunnel, serve, far_host):
    """The peer knows where we are, and can begin."""
    forward = service.forward((far_host, serve(servers.echo).port))
    echo(forward)
    forward.delete()
    return tunnel


@pytest.mark.usefixtures("session")
def test_limits(scene, service, account):
    """In time and in bytes; a packet is never cut."""
    far = scene.far[0].namespace
    with Capture(service, "?seconds=1") as capture:
        assert not capture.finish()
    with Capture(service, "?max_bytes=1000") as capture:
        far.run("ping", "-c", "20", "-i", "0.01", "-s", "100", account.v4)
        packets = capture.finish()
    assert [len(packet.bytes) for packet in packets] == [128] * 6
    assert len(capture.data) == 24 + 6 * 144


@pytest.mark.usefixtures("tunnel")
def test_a_reader_that_is_slow_holds_nothing_back(scene, service, nginx, far_host, tmp_path):
    """It takes so little that most is left out, and just enough to stay connected: how long the
    download takes is no matter."""
    forward = service.forward((far_host, 80))
    payload = files.RandomFile(nginx.files / "payload", 20_000_000)
    with service.client() as client:
        answer = client.open("GET", "/v1/tunnels/home/capture?seconds=3600")
        assert answer.status == 200

        def take_little(download):
            answer.read1(1 << 16)
            return not download.running

        with files.Download(scene.ours, forward.url("/payload"), tmp_path / "got") as download:
            wait.until(lambda: take_little(download), "it has come", files.PATIENCE, interval=1)
            assert download.sha256() == payload.sha256
        dropped = [line for line in service.request(
            "GET", "/metrics", headers={"Authorization": f"Bearer {service.token}"}).body.decode()
            .splitlines() if line.startswith("manytun_worker_capture_dropped_packets_total")]
        assert sum(int(line.split()[-1]) for line in dropped) > 0


@pytest.mark.usefixtures("tunnel")
def test_it_ends_with_the_worker_and_the_tunnel(service, serve, far_host):
    forward = service.forward((far_host, serve(servers.echo).port))
    with Capture(service) as capture:
        echo(forward)
        wait.until(lambda: len(capture.data) > pcap.FILE_HEADER.size, "a packet is captured")
        for worker in service.workers():
            os.kill(worker, signal.SIGKILL)
        assert capture.finish()
    echo(forward, b"again")  # waits for the next worker
    with Capture(service) as capture:
        echo(forward, b"for the second time")
        wait.until(lambda: capture.data.count(b"for the second time") >= 2, "it is captured")
        service.call("DELETE", "/v1/tunnels/home?cascade=true")
        assert capture.finish()


@pytest.mark.usefixtures("tunnel")
def test_it_ends_in_a_takeover(service, scene):
    """Cleanly; the newer program has captures of its own, with what the older workers still send."""
    with servers.Server(scene.far[0].namespace, servers.echo) as server:
        forward = service.forward((scene.far[0].peer.v4, server.port))
        with forward.connect() as connection:
            with Capture(service) as capture:
                connection.sendall(b"before")
                assert servers.read_exactly(connection, 6) == b"before"
                service.take_over()
                assert any(b"before" in packet.bytes for packet in capture.finish())
            with Capture(service) as capture:
                connection.sendall(b"after")
                assert servers.read_exactly(connection, 5) == b"after"
                wait.until(lambda: capture.data.count(b"after") >= 2, "both ways")
                service.call("DELETE", "/v1/tunnels/home?cascade=true")
                assert len(capture.finish()) >= 2


@pytest.fixture(name="key_file")
def private_key_file(account, tmp_path):
    path = tmp_path / "private.key"
    path.touch(mode=0o600)
    path.write_text(account.keys.private + "\n")
    return path


def test_run_writes_a_file(scene, account, key_file, serve, far_host, tmp_path):
    """From the first packet on, and with the next worker too."""
    far, path = scene.far[0], tmp_path / "run.pcap"
    port = serve(servers.echo).port
    log = tmp_path / "run.log"
    with open(log, "wb") as output:
        process = scene.ours.start(
            [manytun.BINARY, "run", f"18090:{far_host}:{port}", "--private-key-file", key_file,
             "--endpoint-public-key", far.peer.keys.public, "--source-peer-ip", account.v4,
             "--endpoint-addr", f"{far.link.far4}:{far.peer.port}", "--pcap", path],
            stdout=output, stderr=output)
    try:
        wait.until(lambda: "Tunneling TCP" in log.read_text(), "it listens")

        def talk(payload):
            with scene.ours.connect(("127.0.0.1", 18090)) as connection:
                connection.sendall(payload)
                assert servers.read_exactly(connection, len(payload)) == payload

        talk(b"the first worker")
        worker, = manytun.children(process.pid)
        wait.until(lambda: path.read_bytes().count(b"the first worker") >= 2, "it is written")
        os.kill(worker, signal.SIGKILL)
        wait.until(lambda: manytun.children(process.pid) not in ([], [worker]), "another is up")
        talk(b"the second one")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0, log.read_text()
    lines = pcap.tcpdump(path)
    assert "Flags [S]" in lines[0] and "Flags [S.]" in lines[1]
    data = path.read_bytes()
    assert len(lines) == len(pcap.read(data))
    assert data.count(b"the first worker") >= 2 and data.count(b"the second one") >= 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_run_says_when_the_file_cannot_be_written(scene, account, key_file, tmp_path):
    far = scene.far[0]
    done = scene.ours.run(
        manytun.BINARY, "run", "18091:10.9.0.1:1", "--private-key-file", key_file,
        "--endpoint-public-key", far.peer.keys.public, "--source-peer-ip", account.v4,
        "--endpoint-addr", f"{far.link.far4}:{far.peer.port}", "--pcap", tmp_path / "no" / "file",
        check=False)
    assert done.returncode == 1
    assert "--pcap: " in done.stderr and "No such file or directory" in done.stderr
