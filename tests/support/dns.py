"""A name server of our own, in a namespace, whose answers a test changes as it likes."""

import ipaddress
import random
import socket
import struct
import threading

A, AAAA = 1, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


class Server:
    """Answers UDP questions from .names: {name: [address, ...]}, in lower case, without a final dot.

    .behave is what it does with a question, for every name: a function of (server, Question) that
    returns a datagram or None. The functions below are such.
    """

    def __init__(self, namespace, address="127.0.0.53"):
        self.address = address
        self.names = {}
        self.behave = truthfully
        self._questions = []
        with namespace.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        # A datagram of our own ends the thread: closing does not wake it.
        self._socket.connect(self._socket.getsockname())
        self._socket.shutdown(socket.SHUT_RD)
        self._thread.join()
        self._socket.close()

    def asked(self, name=None):
        """How many questions came, for that name or for any."""
        return sum(1 for asked in list(self._questions) if name in (None, asked))

    def _serve(self):
        while True:
            try:
                data, client = self._socket.recvfrom(2048)
            except OSError:
                return
            if not data:
                return
            question = Question(data)
            self._questions.append(question.name.lower())
            answer = self.behave(self, question)
            if answer is not None:
                self._socket.sendto(answer, client)


class Question:
    """A question as it came."""

    def __init__(self, data):
        self.data = data
        self.identifier, = struct.unpack_from("!H", data)
        labels, place = [], 12
        while data[place]:
            labels.append(data[place + 1:place + 1 + data[place]].decode())
            place += 1 + data[place]
        self.name = ".".join(labels)
        self.type, = struct.unpack_from("!H", data, place + 1)
        self.section = data[12:place + 5]

    def answer(self, addresses=(), code=NOERROR, flags=0, ttl=1):
        """The datagram that answers it with those of the addresses that are of its type."""
        parsed = [ipaddress.ip_address(address) for address in addresses]
        version = {A: 4, AAAA: 6}.get(self.type)
        records = [struct.pack("!HHHLH", 0xc00c, self.type, 1, ttl, len(address.packed))
                   + address.packed for address in parsed if address.version == version]
        head = struct.pack("!HHHHHH", self.identifier, 0x8180 | flags | code, 1, len(records), 0, 0)
        return head + self.section + b"".join(records)


def truthfully(server, question):
    """What .names says; NXDOMAIN for others."""
    addresses = server.names.get(question.name.lower())
    if addresses is None:
        return question.answer(code=NXDOMAIN)
    return question.answer(addresses)


def in_lower_case(server, question):
    """The truth, with the question in lower case, whatever case it was asked in."""
    question.section = question.section.lower()
    return truthfully(server, question)


def nothing(_server, _question):
    """No answer at all."""


def failure(_server, question):
    """SERVFAIL."""
    return question.answer(code=SERVFAIL)


def refusal(_server, question):
    """REFUSED."""
    return question.answer(code=REFUSED)


def nobody(_server, question):
    """The name exists, and has no address."""
    return question.answer()


def only(family):
    """The truth for one type of question, and nothing for the other."""
    def behave(server, question):
        return truthfully(server, question) if question.type == family else None
    return behave


def truncated(server, question):
    """An answer that says that it is not whole."""
    return question.answer(server.names.get(question.name.lower(), ()), flags=0x0200)


def garbage(seed):
    """Lies: broken, foreign, circular, too long and random answers, the same for the same seed."""
    rng = random.Random(seed)

    def behave(server, question):
        truth = truthfully(server, question)
        head = struct.pack("!HHHHHH", question.identifier, 0x8180, 1, 1, 0, 0)
        circle = struct.pack("!H", 0xc00c)
        record = struct.pack("!HHLH", question.type, 1, 1, rng.choice((3, 0xffff)))
        return rng.choice([
            b"", truth[:rng.randrange(len(truth))], rng.randbytes(rng.randrange(512)),
            truth[:2] + rng.randbytes(rng.randrange(512)),
            struct.pack("!H", question.identifier ^ 1) + truth[2:],  # another's
            head + circle + truth[14:],  # a name that points to itself
            head + question.section + circle + record + b"abc"])
    return behave
