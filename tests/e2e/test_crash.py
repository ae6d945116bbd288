"""SIGKILL of control at random moments during a stream of writes, many times.

Each client writes to objects of its own, one request at a time, and knows what every one of them
must be: what was acknowledged. What it had asked for and not heard of when control died may be
there whole, or not at all. MANYTUN_SEED repeats the choices of a run (not its timing).
"""

import contextlib
import copy
import http.client
import os
import pathlib
import random
import sqlite3
import threading
import time

import pytest

from support import manytun, wgpeer

CLIENTS = 4
# Milliseconds from the first request to the kill, and from a start to a second kill.
KILL_MS = (0, 80)
START_KILL_MS = (0, 60)
# Below the ports that the kernel gives out.
FIRST_PORT = 20000
GONE = (http.client.HTTPException, OSError)


class Client:
    """One writer. objects: (kind, name) to what was acknowledged; pending: what may be instead."""

    def __init__(self, number, seed, keys):
        self._random = random.Random(f"{seed}/{number}")
        self._number = number
        self._keys = keys
        self.objects = {}
        self.pending = None
        self.deleted = 0  # the highest generation of what was deleted
        self.acknowledged = 0
        self.cut = 0
        self.cut_and_done = 0

    def run(self, service):
        """Writes until control is gone."""
        with contextlib.suppress(*GONE), service.client() as client:
            while True:
                self._write(client, *self._choose())

    def _write(self, client, method, path, document, after):
        self.pending = after
        answer = client.call(method, path, document)
        assert answer.status in (200, 201, 204), (method, path, document, answer)
        if answer.body is not None and path != "/v1/config":
            name = answer.body["name"]
            kind = path.split("/")[2]
            remember(after[kind, name], answer.body)
        self._accept(after)
        self.acknowledged += 1

    def _accept(self, objects):
        gone = self.objects.keys() - objects.keys()
        self.deleted = max([self.deleted, *(self.objects[key].get("generation", 0)
                                               for key in gone)])
        self.objects, self.pending = objects, None

    def _choose(self):
        """A request, and the objects as they are when it was done."""
        tunnels = [key for key in self.objects if key[0] == "tunnels"]
        if self._random.random() < 0.1:
            return self._apply()
        if not tunnels or self._random.random() < 0.25:
            name = f"c{self._number}-t{self._random.randrange(3)}"
            return self._change("tunnels", name, self._tunnel(name))
        name = f"c{self._number}-f{self._random.randrange(8)}"
        return self._change("forwards", name, self._forward(name, self._random.choice(tunnels)[1]))

    def _change(self, kind, name, document):
        after = copy.deepcopy(self.objects)
        path = f"/v1/{kind}/{name}"
        present = after.get((kind, name))
        if present is None:
            after[kind, name] = {"definition": document, "above": self.deleted}
            return (*self._random.choice([("POST", f"/v1/{kind}"), ("PUT", path)]), document, after)
        if self._random.random() < 0.3:
            return self._delete(kind, name, after)
        method = self._random.choice(["PUT", "PATCH"])
        if method == "PATCH":
            field = self._random.choice([field for field in document if field != "name"])
            document = {field: document[field]}
        changed = {**present["definition"], **document}
        if changed != present["definition"]:
            self._note_change(present)
        present["definition"] = changed
        return method, path, document, after

    @staticmethod
    def _note_change(present):
        if "generation" in present:
            present["generation"] += 1
        present.pop("port", None)

    def _apply(self):
        """Two tunnels and their forwards as one change."""
        after = copy.deepcopy(self.objects)
        names = [f"c{self._number}-t{number}" for number in self._random.sample(range(3), 2)]
        document = {"tunnels": [self._tunnel(name) for name in names], "forwards": [
            self._forward(f"c{self._number}-f{number}", self._random.choice(names))
            for number in self._random.sample(range(8), 3)]}
        for kind, definitions in document.items():
            for definition in definitions:
                key = kind, definition["name"]
                present = after.setdefault(key, {"definition": definition, "above": self.deleted})
                if present["definition"] != definition:
                    self._note_change(present)
                present["definition"] = definition
        return "PUT", "/v1/config", document, after

    @staticmethod
    def _delete(kind, name, after):
        del after[kind, name]
        if kind == "forwards":
            return "DELETE", f"/v1/forwards/{name}", None, after
        for key, value in list(after.items()):
            if key[0] == "forwards" and value["definition"]["tunnel"] == name:
                del after[key]
        return "DELETE", f"/v1/tunnels/{name}?cascade=true", None, after

    def _tunnel(self, name):
        return {"name": name, "private_key": self._random.choice(self._keys[:-1]).private,
                "addresses": [f"10.9.0.{self._random.randrange(2, 5)}/32"],
                "mtu": self._random.choice([1280, 1420]),
                "peers": [{"name": "gw", "public_key": self._keys[-1].public,
                           "endpoint": "127.0.0.1:9", "allowed_ips": ["10.9.0.0/24"],
                           "preshared_key": self._random.choice(self._keys).private,
                           "keepalive_seconds": self._random.randrange(3) * 1000}]}

    def _forward(self, name, tunnel):
        number = int(name.rpartition("f")[2])
        port = FIRST_PORT + 100 * self._number + number
        return {"name": name, "tunnel": tunnel, "enabled": self._random.random() < 0.8,
                "listen": {"address": "127.0.0.1", "port": self._random.choice([0, port])},
                "target": {"host": "10.9.0.1", "port": self._random.randrange(1, 4)}}

    def adopt(self, kind_lists):
        """Takes what is there, which must be what was acknowledged, or what was pending."""
        mine = {(kind, name): item for kind, items in kind_lists.items()
                for name, item in items.items() if name.startswith(f"c{self._number}-")}
        self.cut += self.pending is not None
        wrong = differences(self.objects, mine)
        if wrong and self.pending is not None:
            pending_wrong = differences(self.pending, mine)
            assert not pending_wrong, (wrong, pending_wrong)
            self._accept(self.pending)
            self.cut_and_done += 1
        else:
            assert not wrong, wrong
        self.pending = None
        for key, item in mine.items():
            remember(self.objects[key], item)


def remember(known, item):
    """What the answer tells beyond the definition and must survive."""
    for field in ("generation", "created_at"):
        assert known.setdefault(field, item[field]) == item[field], (known, item)
    bound = item["status"].get("bound")
    if bound is not None:
        known["port"] = bound["port"]


def contains(item, wanted):
    """Whether item has everything that wanted has, in any depth; secrets cannot be read."""
    if isinstance(wanted, dict):
        return all(contains(item.get(name), value) for name, value in wanted.items()
                   if name not in ("private_key", "preshared_key"))
    if isinstance(wanted, list):
        return len(item) == len(wanted) and all(map(contains, item, wanted))
    return item == wanted


def differences(expected, found):
    """What differs between the objects of a client and what the service shows."""
    wrong = [f"{key} is missing" for key in expected if key not in found]
    wrong += [f"{key} is there" for key in found if key not in expected]
    for key in expected.keys() & found.keys():
        known, item = expected[key], found[key]
        if not contains(item, known["definition"]):
            wrong.append(f"{key}: {item} is not {known['definition']}")
        for field in ("generation", "created_at"):
            if field in known and known[field] != item[field]:
                wrong.append(f"{key}: {field} {item[field]} is not {known[field]}")
        if item["generation"] <= known.get("above", 0):
            wrong.append(f"{key}: generation {item['generation']} was a deleted one's")
        bound = item["status"].get("bound")
        if "port" in known and key[0] == "forwards" and bound != {"address": "127.0.0.1",
                                                                  "port": known["port"]}:
            wrong.append(f"{key}: bound to {bound}, not to {known['port']}")
    return wrong


def listening(namespace):
    """The TCP ports of IPv4 that something listens on in a namespace."""
    lines = pathlib.Path(f"/proc/{namespace.pid}/net/tcp").read_text().splitlines()[1:]
    return {int(fields[1].rpartition(":")[2], 16) for fields in map(str.split, lines)
            if fields[3] == "0A"}


def check_listeners(service, forwards):
    """What is enabled is bound, and nothing else is."""
    bound = set()
    for name, item in forwards.items():
        port = item["status"].get("bound", {}).get("port")
        assert item["enabled"] == (port is not None), (name, item)
        if port is not None:
            assert item["listen"]["port"] in (0, port)
            bound.add(port)
    assert listening(service.namespace) == bound | {manytun.API_PORT}


def check_database(service, kind_lists):
    """The database is sound, and has the generations that the API shows."""
    with contextlib.closing(sqlite3.connect(f"file:{service.data}/manytun.db?mode=ro",
                                            uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        for kind, items in kind_lists.items():
            rows = dict(database.execute(f"SELECT name, generation FROM {kind}"))
            assert rows == {name: item["generation"] for name, item in items.items()}


def check(service, clients):
    """Exactly what was acknowledged is there, in the answers, the engine and the database."""
    with service.client() as reader:
        kind_lists = {kind: reader.list(kind) for kind in ("tunnels", "forwards")}
    for client in clients:
        client.adopt(kind_lists)
    known = {key for client in clients for key in client.objects}
    assert known == {(kind, name) for kind, items in kind_lists.items() for name in items}
    check_listeners(service, kind_lists["forwards"])
    check_database(service, kind_lists)


def one_round(service, clients, chance):
    """Writes, a kill among them, a start; and sometimes a kill during that start."""
    failures = []

    def write(client):
        try:
            client.run(service)
        except AssertionError as failure:
            failures.append(failure)

    writers = [threading.Thread(target=write, args=(client,)) for client in clients]
    for writer in writers:
        writer.start()
    time.sleep(chance.uniform(*KILL_MS) / 1000)  # the moment is what is tested
    service.kill()
    for writer in writers:
        writer.join()
    assert not failures, failures
    if chance.random() < 0.25:
        service.launch()
        time.sleep(chance.uniform(*START_KILL_MS) / 1000)
        service.kill()
    service.start()
    check(service, clients)


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_while_writing(make_service, rounds):
    seed = int(os.environ.get("MANYTUN_SEED", random.randrange(1 << 32)))
    print(f"MANYTUN_SEED={seed}")
    service = make_service("--workers", "1")
    keys = [wgpeer.KeyPair() for _ in range(3)]
    clients = [Client(number, seed, keys) for number in range(CLIENTS)]
    chance = random.Random(seed)
    for _ in range(rounds):
        one_round(service, clients, chance)
    acknowledged, cut, done = (sum(getattr(client, name) for client in clients)
                               for name in ("acknowledged", "cut", "cut_and_done"))
    print(f"{acknowledged} changes acknowledged, {cut} cut off, {done} of these done")
    assert acknowledged > rounds and cut > rounds
