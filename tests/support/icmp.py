"""Pings from inside a namespace: what a peer can ask of our side, where nothing else listens."""

import os
import select
import socket
import struct
import time

_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}  # request, reply
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_IPV4_HEADER = 20  # raw IPv4 sockets are given the header, too


def _checksum(data):
    """RFC 1071; ICMPv6's is the kernel's affair."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Ping:
    """Sends echo requests to one host and tells which of them were answered."""

    def __init__(self, namespace, host, source=None):
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with namespace.entered():
            self._socket = socket.socket(self._family, socket.SOCK_RAW, _PROTOCOL[self._family])
        self._host = host
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._sequence = 0
        if source is not None:
            self._socket.bind((source, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self):
        """One request; its sequence number."""
        self._sequence += 1
        kind = _ECHO[self._family][0]
        body = struct.pack("!HH", self._identifier, self._sequence) + bytes(32)
        checksum = _checksum(struct.pack("!BBH", kind, 0, 0) + body)
        self._socket.sendto(struct.pack("!BBH", kind, 0, checksum) + body, (self._host, 0))
        return self._sequence

    def answered(self, sequence, timeout):
        """Whether the reply to that request comes within timeout seconds."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return False
            message, _ = self._socket.recvfrom(2048)
            if self._family == socket.AF_INET:
                message = message[_IPV4_HEADER:]
            kind, _, _, identifier, number = struct.unpack_from("!BBHHH", message)
            if (kind, identifier, number) == (_ECHO[self._family][1], self._identifier, sequence):
                return True
        return False


def ping(namespace, host, timeout=1, source=None):
    """Whether one echo request to host is answered within timeout seconds."""
    with Ping(namespace, host, source) as pinging:
        return pinging.answered(pinging.send(), timeout)
