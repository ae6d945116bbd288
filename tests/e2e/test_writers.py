"""Fifty clients change the same few objects at once, each only what it has seen.

Every write names the generation that it was made for, and what was acknowledged is written down. In
the end each generation of each object has exactly one writer, and follows from the one before.
"""

import collections
import random
import threading

import pytest

WRITERS = 50
WRITES = 60  # of each
NAMES = ("a", "b", "c")

# What one acknowledged write did: the object that it made (None: deleted it), and from what.
Win = collections.namedtuple("Win", "base change after")


def forward_of(value):
    """A definition that no other write makes."""
    return {"tunnel": "home", "listen": {"address": "127.0.0.1", "port": 0},
            "target": {"host": "10.9.0.1", "port": 1 + value % 60000},
            "idle_timeout_seconds": value, "connect_timeout_seconds": 1 + value % 300}


def definition_of(item):
    return {name: value for name, value in item.items()
            if name not in ("status", "generation")}


class Writer:
    """One client. wins: what was acknowledged; statuses: of every write."""

    def __init__(self, number, client):
        self._number = number
        self._client = client
        self._random = random.Random(number)
        self.wins = []
        self.statuses = collections.Counter()

    def run(self):
        with self._client:
            for number in range(WRITES):
                self._write(self._random.choice(NAMES), 1 + self._number * WRITES + number)

    def _write(self, name, value):
        path = f"/v1/forwards/{name}"
        seen = self._client.call("GET", path)
        assert seen.status in (200, 404), seen
        if seen.status == 404:
            self._send("PUT", path, forward_of(value), {"If-None-Match": "*"}, None)
            return
        method = self._random.choices(["PUT", "PATCH", "DELETE"], [4, 4, 1])[0]
        change = {"PUT": forward_of(value), "PATCH": {"idle_timeout_seconds": value},
                  "DELETE": None}[method]
        self._send(method, path, change, {"If-Match": seen.headers["ETag"]}, seen.body)

    def _send(self, method, path, change, headers, base):
        answer = self._client.call(method, path, change, headers)
        self.statuses[answer.status] += 1
        assert answer.status in (200, 201, 204, 404, 412), answer
        if answer.status in (200, 201, 204):
            self.wins.append(Win(base, change, answer.body))


def run_all(jobs):
    """Runs the jobs in threads that begin together; none may fail."""
    start = threading.Barrier(len(jobs))
    failures = []

    def run(job):
        try:
            start.wait()
            job()
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def check_life(wins):
    """The writes of one object from its creation to its deletion; what it was at the end."""
    wins = sorted(wins, key=lambda win: win.base["generation"] if win.base else 0)
    first = wins[0].after["generation"]
    assert wins[0].base is None
    assert [win.base["generation"] for win in wins[1:]] \
        == list(range(first, first + len(wins) - 1)), "a generation has no writer, or two"
    last = None
    for win in wins:
        if last is not None:
            assert definition_of(win.base) == definition_of(last), "a change was lost"
        if win.after is None:
            assert win is wins[-1], "it was changed after its deletion"
            return None
        assert win.after["generation"] == (last["generation"] + 1 if last else first)
        expected = {**(definition_of(last) if last else {}), **win.change}
        assert definition_of(win.after).items() >= expected.items()
        last = win.after
    return last


@pytest.mark.usefixtures("tunnel")
def test_one_winner_per_generation(service):
    writers = [Writer(number, service.client(unix=number % 2 == 0)) for number in range(WRITERS)]
    run_all([writer.run for writer in writers])
    lives = collections.defaultdict(list)
    for writer in writers:
        for win in writer.wins:
            made = win.after or win.base
            lives[made["name"], made["created_at"]].append(win)
    survivors = {}
    for (name, _), wins in lives.items():
        last = check_life(wins)
        if last is not None:
            assert name not in survivors
            survivors[name] = last
    with service.client() as client:
        present = client.list("forwards")
    assert {name: definition_of(item) for name, item in present.items()} \
        == {name: definition_of(item) for name, item in survivors.items()}
    statuses = sum((writer.statuses for writer in writers), collections.Counter())
    print(dict(statuses))
    assert statuses[412] > 0 and statuses[204] > 0, "nobody met anybody"


def test_creation_has_one_winner(service, tunnel):
    """Of fifty that create the same name at once, with POST or If-None-Match, one does."""
    answers = []

    def create(client, number):
        with client:
            if number % 4 < 2:
                answers.append(client.call("POST", "/v1/forwards",
                                           {**forward_of(number), "name": "new"}).status)
            else:
                answers.append(client.call("PUT", "/v1/forwards/new", forward_of(number),
                                           {"If-None-Match": "*"}).status)

    run_all([lambda number=number: create(service.client(unix=number % 2 == 0), number)
             for number in range(WRITERS)])
    counts = collections.Counter(answers)
    assert counts[201] == 1
    assert counts[409] + counts[412] == WRITERS - 1
    assert tunnel["generation"] == 1


def test_one_port_has_one_owner(scene, service, tunnel):
    """Fifty forwards ask for the same port: one listens, the others are told."""
    with scene.ours.listen("127.0.0.1") as free:
        port = free.getsockname()[1]
    answers = []

    def create(client, number):
        with client:
            document = {**forward_of(number), "name": f"f{number}",
                        "listen": {"address": "127.0.0.1", "port": port}}
            answers.append(client.call("POST", "/v1/forwards", document))

    run_all([lambda number=number: create(service.client(), number) for number in range(WRITERS)])
    made = [answer.body["name"] for answer in answers if answer.status == 201]
    refused = [answer.body["type"] for answer in answers if answer.status == 409]
    assert len(made) == 1 and refused == ["/problems/address_in_use"] * (WRITERS - 1)
    with service.client() as client:
        assert list(client.list("forwards")) == made
    assert tunnel["generation"] == 1


def test_writes_without_a_precondition(service, tunnel):
    """Whoever does not say what it has seen may overwrite; the generation counts every change."""
    service.create("forwards", {**forward_of(0), "name": "a"})

    def patch(client, number):
        with client:
            for step in range(10):
                value = 1 + number * 10 + step
                answer = client.call("PATCH", "/v1/forwards/a", {"idle_timeout_seconds": value})
                assert answer.status == 200, answer

    run_all([lambda number=number: patch(service.client(), number) for number in range(WRITERS)])
    assert service.get("forwards", "a")["generation"] == 1 + 10 * WRITERS
    assert tunnel["generation"] == 1
