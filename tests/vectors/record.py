#!/usr/bin/env python3
"""Records handshakes and data of a real peer, wireguard-go, with keys that are all known.

Prints what tests/vectors/recorded.txt has. Our side is not the engine: it is written here from the
paper's sections 5.4.2 to 5.4.7, on the primitives of handshake.py, with fixed ephemeral keys, so
that tests/unit/wg/recorded_test.c can hold the engine against what the peer has accepted. Needs
root and wireguard-go, as the end-to-end tests do (tests/README.md).
"""
import base64
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap

import handshake as noise

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import netns, wgpeer, wire  # noqa: E402

OURS, THEIRS = "10.9.0.7", "10.9.0.1"
PORT = 51000
INDEX = 0x01020304
PRIVATE, THEIR_PRIVATE = (bytes((first, *[0x5A] * 30, 0x40)) for first in (0x10, 0x20))
EPHEMERAL = bytes((0x30, *range(1, 31), 0x40))
PRESHARED = bytes(range(100, 132))
WALL = (1_700_000_000, 123_456_789)
RETRY_NS = 5_334_000_000  # more than the time and jitter after which an initiation is sent again
SECOND = 1_000_000_000


def open_aead(key, sealed, ad, nonce=bytes(12)):
    """What is in there; the tag is checked by sealing it again."""
    plain = noise.aead(key, sealed[:-16], ad, nonce)[:-16]  # the cipher is its own inverse
    assert noise.aead(key, plain, ad, nonce) == sealed
    return plain


def counter_nonce(counter):
    return bytes(4) + struct.pack("<Q", counter)


class Session:
    """The key, the counter and the index to send with, and the key to receive with."""

    def __init__(self, send, receive, remote):
        self._send, self._receive, self._remote, self._counter = send, receive, remote, 0

    def seal(self, packet):
        padded = noise.pad16(packet)
        sealed = noise.aead(self._send, padded, b"", counter_nonce(self._counter))
        message = struct.pack("<IIQ", 4, self._remote, self._counter) + sealed
        self._counter += 1
        return message

    def open(self, message):
        kind, receiver, counter = struct.unpack_from("<IIQ", message)
        assert (kind, receiver) == (4, INDEX)
        return open_aead(self._receive, message[16:], b"", counter_nonce(counter))


class Handshake:
    """One handshake of ours with them, in either role."""

    def __init__(self, preshared):
        self._preshared = preshared or bytes(32)
        self._their_public = noise.public(THEIR_PRIVATE)
        self._cookie = None
        self._sent_mac1 = None

    def _begin(self, responder):
        self._c = noise.hash_(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
        self._h = noise.hash_(noise.hash_(self._c, b"WireGuard v1 zx2c4 Jason@zx2c4.com"),
                              responder)

    def _mix_hash(self, data):
        self._h = noise.hash_(self._h, data)

    def _mix_key(self, data, count):
        self._c, *rest = noise.kdf(self._c, data, count)
        return rest

    def _seal(self, key, plain):
        sealed = noise.aead(key, plain, self._h)
        self._mix_hash(sealed)
        return sealed

    def _open(self, key, sealed):
        plain = open_aead(key, sealed, self._h)
        self._mix_hash(sealed)
        return plain

    def _macs(self, message):
        self._sent_mac1 = noise.mac(noise.hash_(b"mac1----", self._their_public), message)
        message += self._sent_mac1
        return message + (noise.mac(self._cookie, message) if self._cookie else bytes(16))

    def initiation(self, wall_ns):
        """Ours, at that time."""
        self._begin(self._their_public)
        ephemeral = noise.public(EPHEMERAL)
        self._mix_key(ephemeral, 1)
        self._mix_hash(ephemeral)
        key, = self._mix_key(noise.x25519(EPHEMERAL, self._their_public), 2)
        static = self._seal(key, noise.public(PRIVATE))
        key, = self._mix_key(noise.x25519(PRIVATE, self._their_public), 2)
        stamp = self._seal(key, struct.pack(">QI", 0x400000000000000A + wall_ns // SECOND,
                                            wall_ns % SECOND & ~0xFFFFFF))
        return self._macs(struct.pack("<II", 1, INDEX) + ephemeral + static + stamp)

    def take_cookie(self, reply):
        """The cookie in their answer to what was sent last."""
        assert struct.unpack_from("<II", reply) == (3, INDEX)
        key = noise.hchacha(noise.hash_(b"cookie--", self._their_public), reply[8:24])
        self._cookie = open_aead(key, reply[32:], self._sent_mac1, bytes(4) + reply[24:32])

    def take_response(self, response):
        """Their answer; the session."""
        kind, sender, receiver = struct.unpack_from("<III", response)
        assert (kind, receiver, len(response)) == (2, INDEX, 92)
        ephemeral = response[12:44]
        self._mix_key(ephemeral, 1)
        self._mix_hash(ephemeral)
        self._mix_key(noise.x25519(EPHEMERAL, ephemeral), 1)
        self._mix_key(noise.x25519(PRIVATE, ephemeral), 1)
        self._mix_hash_and_open(response[44:60])
        send, receive = noise.kdf(self._c, b"", 2)
        return Session(send, receive, sender)

    def _preshared_key(self):
        tau, key = self._mix_key(self._preshared, 3)
        self._mix_hash(tau)
        return key

    def _mix_hash_and_open(self, sealed):
        assert self._open(self._preshared_key(), sealed) == b""

    def respond(self, initiation):
        """Our answer to their initiation, and the session."""
        kind, sender = struct.unpack_from("<II", initiation)
        assert (kind, len(initiation)) == (1, 148)
        self._begin(noise.public(PRIVATE))
        theirs = initiation[8:40]
        self._mix_key(theirs, 1)
        self._mix_hash(theirs)
        key, = self._mix_key(noise.x25519(PRIVATE, theirs), 2)
        assert self._open(key, initiation[40:88]) == self._their_public
        key, = self._mix_key(noise.x25519(PRIVATE, self._their_public), 2)
        self._open(key, initiation[88:116])

        ephemeral = noise.public(EPHEMERAL)
        self._mix_key(ephemeral, 1)
        self._mix_hash(ephemeral)
        self._mix_key(noise.x25519(EPHEMERAL, theirs), 1)
        self._mix_key(noise.x25519(EPHEMERAL, self._their_public), 1)
        sealed = self._seal(self._preshared_key(), b"")
        receive, send = noise.kdf(self._c, b"", 2)
        return (self._macs(struct.pack("<III", 2, INDEX, sender) + ephemeral + sealed),
                Session(send, receive, sender))


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(kind, body):
    """An ICMP echo message of ours (8: request, 0: reply) in IPv4; body: from the identifier on."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 24 + len(body), 0, 0, 64, 1, 0)
    head += socket.inet_aton(OURS) + socket.inet_aton(THEIRS)
    icmp = struct.pack("!BBH", kind, 0, 0) + body
    return (head[:10] + struct.pack("!H", checksum(head)) + head[12:]
            + icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:])


REQUEST = ping(8, bytes(range(60)))


class Keys:
    """As wgpeer.KeyPair, of a given key."""

    def __init__(self, private):
        self.private = base64.b64encode(private).decode()
        self.public = base64.b64encode(noise.public(private)).decode()


class Recording:
    """Both sides, and the lines that are printed when all has gone well."""

    def __init__(self, peer, outside, name, preshared=None):
        self.handshake = Handshake(preshared)
        self._socket = outside
        self._lines = [f"recording {name}", f"private {PRIVATE.hex()}",
                       f"their_private {THEIR_PRIVATE.hex()}",
                       *([f"preshared {preshared.hex()}"] if preshared else []),
                       f"ephemeral {EPHEMERAL.hex()}", f"index {INDEX:08x}",
                       f"wall {WALL[0]} {WALL[1]:09}"]
        ours = Keys(PRIVATE).public
        peer.forget(ours)
        secret = base64.b64encode(preshared).decode() if preshared else None
        peer.allow(ours, [f"{OURS}/32"], preshared=secret)

    def note(self, what, data):
        self._lines.append(f"{what} {data.hex() if isinstance(data, bytes) else data}")

    def out(self, message, address):
        self.note("out", message)
        self._socket.sendto(message, address)

    def receive(self, *kinds):
        """The next message of these kinds; others are not recorded."""
        while (message := self._socket.recv(2048))[0] not in kinds:
            pass
        self.note("in", message)
        return message

    def exchange(self, session, address):
        """A ping of ours and the reply."""
        self.out(session.seal(REQUEST), address)
        self.take(session)

    def take(self, session):
        """A packet of theirs, without its padding."""
        packet = session.open(self.receive(4))
        packet = packet[:int.from_bytes(packet[2:4], "big")]
        self.note("deliver", packet)
        return packet

    def text(self):
        """With lines of a readable length; those that begin with blanks continue the last one."""
        return "\n".join(textwrap.fill(line, 100, subsequent_indent="    ") for line in self._lines)


def we_call(peer, outside, address):
    recording = Recording(peer, outside, "we are the initiator")
    shake = recording.handshake
    recording.note("send", REQUEST)
    recording.out(shake.initiation(WALL[0] * SECOND + WALL[1]), address)
    session = shake.take_response(recording.receive(2))
    recording.exchange(session, address)
    return recording.text()


def we_call_in_vain(peer, outside, address):
    """They are under load: they answer with a cookie, and our next initiation has it."""
    recording = Recording(peer, outside, "we are the initiator, and they are under load", PRESHARED)
    shake = recording.handshake
    wall = WALL[0] * SECOND + WALL[1]
    recording.note("send", REQUEST)
    recording.out(shake.initiation(wall), address)
    shake.take_cookie(recording.receive(3))
    recording.note("advance", RETRY_NS)
    recording.out(shake.initiation(wall + RETRY_NS), address)
    session = shake.take_response(recording.receive(2))
    recording.exchange(session, address)
    return recording.text()


def they_call(peer, far, outside, address):
    recording = Recording(peer, outside, "they are the initiator", PRESHARED)
    peer.tell_endpoint(Keys(PRIVATE).public, f"{outside.getsockname()[0]}:{PORT}")
    pinging = far.start(["ping", "-c", "1", "-W", "10", "-s", "41", OURS],
                        stdout=subprocess.DEVNULL)
    response, session = recording.handshake.respond(recording.receive(1))
    recording.out(response, address)
    request = recording.take(session)
    reply = ping(0, request[24:])
    recording.note("send", reply)
    recording.out(session.seal(reply), address)
    assert pinging.wait() == 0
    return recording.text()


def record(folder):
    near, far = netns.Namespace(), netns.Namespace()
    try:
        link = netns.Link(near, far, 1)
        peer = wgpeer.Peer(far, folder)
        peer.keys = Keys(THEIR_PRIVATE)
        peer.start()
        address = (link.far4, peer.port)
        with near.entered():
            outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with outside:
            outside.bind((link.near4, PORT))
            outside.settimeout(10)
            yield we_call(peer, outside, address)
            yield they_call(peer, far, outside, address)
            with wire.Flood(far, peer.port, noise.public(THEIR_PRIVATE)):
                yield we_call_in_vain(peer, outside, address)
        peer.stop()
    finally:
        near.close()
        far.close()


def main():
    version = subprocess.run(["wireguard-go", "--version"], capture_output=True, text=True,
                             check=True).stdout.split()[1].rstrip(".")
    print(f"# Made by record.py with wireguard-go {version}; what it means: recorded_test.c.")
    with tempfile.TemporaryDirectory() as folder:
        for text in record(pathlib.Path(folder)):
            print(f"\n{text}")


if __name__ == "__main__":
    main()
