"""What happened is told once, in order and without holes, also when control is killed."""

import contextlib
import http.client
import json
import threading

from support import wait

GONE = (http.client.HTTPException, OSError)
ROUNDS = 8
# How many acknowledged changes are to come before control is killed.
CHANGES = 15


def parse(line, fields):
    """One line of an event stream; True when an event is complete."""
    if line == "":
        return True
    name, _, value = line.partition(":")
    if name:
        fields[name] = value.removeprefix(" ")
    return False


class Watcher:
    """A client of the event stream that comes back with the last id it has seen."""

    def __init__(self, service):
        self._service = service
        self._thread = None
        self.last = None
        self.snapshots, self.gaps, self.events = [], [], []

    def start(self):
        """Reads in the background until the service ends the stream, or is gone."""
        count = len(self.snapshots)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait.until(lambda: len(self.snapshots) > count, "the stream has begun")

    def join(self):
        self._thread.join()

    def _run(self):
        with contextlib.suppress(*GONE), self._service.client() as client:
            headers = {} if self.last is None else {"Last-Event-ID": self.last}
            self._read(client.open("GET", "/v1/events", headers))

    def _read(self, answer):
        assert answer.getheader("Content-Type") == "text/event-stream"
        fields = {}
        while line := answer.readline():
            if parse(line.decode().rstrip("\n"), fields):
                self._take(fields)
                fields = {}

    def _take(self, fields):
        self.last = fields.get("id", self.last)
        if "data" in fields:
            found = {"snapshot": self.snapshots, "gap": self.gaps}.get(
                fields.get("event"), self.events)
            found.append(json.loads(fields["data"]))


class Writer:
    """Changes a forward again and again, and knows which generations were acknowledged."""

    def __init__(self, service, name):
        self._service = service
        self._name = name
        self._port = 1
        self.acknowledged = []

    def run(self):
        """Until control is gone."""
        with contextlib.suppress(*GONE), self._service.client() as client:
            while True:
                self._port = self._port % 60000 + 1
                answer = client.call("PATCH", f"/v1/forwards/{self._name}",
                                     {"target": {"port": self._port}})
                assert answer.status == 200, answer
                self.acknowledged.append(answer.body["generation"])


def one_round(service, watcher, writer):
    """Changes that are watched, and a kill among them."""
    count = len(writer.acknowledged)
    watcher.start()
    thread = threading.Thread(target=writer.run)
    thread.start()
    wait.until(lambda: len(writer.acknowledged) >= count + CHANGES, "changes are acknowledged")
    service.kill()
    thread.join()
    watcher.join()
    service.start()


def test_no_event_is_lost_or_repeated_by_a_kill(service, account):
    service.create("tunnels", account.tunnel())
    name = service.forward(("10.9.0.1", 80)).name
    watcher, writer = Watcher(service), Writer(service, name)
    for _ in range(ROUNDS):
        one_round(service, watcher, writer)
    watcher.start()
    with service.client() as client:
        last = client.call("GET", "/v1/status").body["last_event_id"]
    wait.until(lambda: watcher.events[-1]["id"] >= last, "all events have come")

    assert watcher.gaps == []
    ids = [event["id"] for event in watcher.events]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    changed = [event["generation"] for event in watcher.events
               if event["type"] == "forward.changed"]
    assert len(changed) == len(set(changed)), "a change was told twice"
    assert set(writer.acknowledged) <= set(changed), "a change was not told"
    # One that was cut off by the kill may be there, and must then have been made.
    assert len(changed) - len(writer.acknowledged) <= ROUNDS
    assert max(changed) == service.get("forwards", name)["generation"]
    assert {event["actor"] for event in watcher.events
            if event["type"] == "forward.changed"} == {"uid:0"}
    # A start without a stop before it: the service was killed.
    types = [event["type"] for event in watcher.events]
    assert types.count("service.started") == ROUNDS and "service.stopped" not in types
    assert service.stop() == 0
    watcher.join()


def test_a_stop_ends_the_streams_and_is_told_later(service):
    watcher = Watcher(service)
    watcher.start()
    assert service.stop() == 0
    watcher.join()
    service.start()
    watcher.start()
    wait.until(lambda: "service.started" in [event["type"] for event in watcher.events],
               "the start is told")
    types = [event["type"] for event in watcher.events]
    assert types.index("service.stopped") < types.index("service.started")
    assert watcher.gaps == []
    assert service.stop() == 0
    watcher.join()


def test_a_takeover_is_told_without_a_hole(service):
    watcher = Watcher(service)
    watcher.start()
    service.take_over()
    watcher.join()
    watcher.start()
    wait.until(lambda: "service.started" in [event["type"] for event in watcher.events],
               "the start of the newer program is told")
    ids = [event["id"] for event in watcher.events]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    types = [(event["type"], event.get("reason")) for event in watcher.events
             if event["type"].startswith("service.")]
    assert types == [("service.stopped", "HandedOver"), ("service.started", "Restored")]
    assert watcher.gaps == []
    assert service.stop() == 0
    watcher.join()
