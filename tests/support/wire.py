"""WireGuard's messages as they are on a link: seen, and made up from outside."""

import collections
import hashlib
import os
import socket
import struct
import threading

INITIATION, RESPONSE, COOKIE_REPLY, DATA = 1, 2, 3, 4
NO_COOKIE = bytes(16)

_ALL_PROTOCOLS = 3
_HEADERS = {0x0800: 20, 0x86dd: 40}  # ethertype: bytes of the IP header, which has no options here
_PROTOCOL_AT = {0x0800: 9, 0x86dd: 6}

Message = collections.namedtuple("Message", "kind source destination length mac2")


def _message(frame):
    """What a frame carries: a Message whose source and destination are UDP ports, or None."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind not in _HEADERS or frame[14 + _PROTOCOL_AT[kind]] != socket.IPPROTO_UDP:
        return None
    udp = frame[14 + _HEADERS[kind]:]
    source, destination, length = struct.unpack_from("!HHH", udp)
    return Message(udp[8] if length > 8 else 0, source, destination, length - 8, udp[-16:])


class Capture:
    """Keeps what passes an interface of a namespace, both ways. Use as a context manager."""

    def __init__(self, namespace, interface):
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                         socket.htons(_ALL_PROTOCOLS))
        self._socket.bind((interface, _ALL_PROTOCOLS))
        self._socket.settimeout(0.1)
        self._closed = False
        self._messages = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closed = True
        self._thread.join()
        self._socket.close()

    def messages(self, **fields):
        """The messages so far in which each of these fields is so."""
        return [message for message in list(self._messages)
                if all(getattr(message, name) == value for name, value in fields.items())]

    def _read(self):
        while not self._closed:
            try:
                message = _message(self._socket.recv(65536))
            except TimeoutError:
                continue
            if message is not None:
                self._messages.append(message)


def with_mac1(message, public_key):
    """A handshake message with the mac1 that the owner of that key (raw) takes for right."""
    key = hashlib.blake2s(b"mac1----" + public_key).digest()
    return message + hashlib.blake2s(message, key=key, digest_size=16).digest()


def junk_initiation(public_key):
    """An initiation of nobody, whose mac1 is right for the owner of that key (raw)."""
    return with_mac1(struct.pack("<I", INITIATION) + os.urandom(112), public_key) + NO_COOKIE


class Flood:
    """Initiations of nobody to a port of a namespace, from within it, in bursts. A context manager,
    whose block begins when the receiver is under load: it answers with cookies.

    Bursts of more than the queue of the receiver holds before it counts itself under load (128 in
    wireguard-go); the pauses leave its socket's buffer room for what others send.
    """

    BURST = 400
    PAUSE = 0.05

    def __init__(self, namespace, port, public_key):
        with namespace.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._messages = [junk_initiation(public_key) for _ in range(self.BURST)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self):
        self._socket.settimeout(10)
        self._thread.start()
        try:
            assert self._socket.recv(2048)[0] == COOKIE_REPLY
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _send(self):
        while not self._over.wait(self.PAUSE):
            for message in self._messages:
                self._socket.send(message)
