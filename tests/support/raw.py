"""Inner packets made by hand, and sent as they are through a peer's WireGuard interface."""

import socket
import struct

ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def address(text):
    """The bytes of an IPv4 or IPv6 address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def ip(source, destination, protocol, payload, fragment=0):
    """An IP packet; fragment is the flags and offset field of IPv4."""
    source, destination = address(source), address(destination)
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + destination \
            + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    total = checksum(head + source + destination)
    return head[:10] + struct.pack("!H", total) + source + destination + payload


def _pseudo(source, destination, protocol, length):
    return address(source) + address(destination) + struct.pack("!II", length, protocol)


def tcp(source, destination, flags, seq=1, ack=0, data=b"", window=1000):
    """A TCP packet between two (host, port)."""
    head = struct.pack("!HHIIBBHHH", source[1], destination[1], seq, ack, 5 << 4, flags, window,
                       0, 0)
    total = checksum(_pseudo(source[0], destination[0], 6, len(head) + len(data)) + head + data)
    return ip(source[0], destination[0], 6,
              head[:16] + struct.pack("!H", total) + head[18:] + data)


def icmp(source, destination, kind, code, rest, body):
    """An ICMP or ICMPv6 packet; rest is the second word of its header."""
    protocol = 58 if ":" in source else 1
    message = struct.pack("!BBHI", kind, code, 0, rest) + body
    covered = message
    if protocol == 58:
        covered = _pseudo(source, destination, protocol, len(message)) + message
    return ip(source, destination, protocol,
              message[:2] + struct.pack("!H", checksum(covered)) + message[4:])


def send(peer, *packets):
    """Lets a wgpeer.Peer encrypt and send these, whatever they are."""
    with peer.namespace.entered():
        link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    with link:
        for packet in packets:
            kind = ETH_P_IPV6 if packet[0] >> 4 == 6 else ETH_P_IP
            link.sendto(packet, (peer.interface, kind))


def parse_tcp(packet):
    """(source, destination, seq, ack, flags, data) of an IPv4 or IPv6 TCP packet, else None."""
    is6 = packet[0] >> 4 == 6
    start = 40 if is6 else (packet[0] & 15) * 4
    if (packet[6] if is6 else packet[9]) != 6:
        return None
    places = (slice(8, 24), slice(24, 40)) if is6 else (slice(12, 16), slice(16, 20))
    hosts = [socket.inet_ntop(socket.AF_INET6 if is6 else socket.AF_INET, packet[place])
             for place in places]
    ports = struct.unpack_from("!HH", packet, start)
    seq, ack, offset, flags = struct.unpack_from("!IIBB", packet, start + 4)
    return ((hosts[0], ports[0]), (hosts[1], ports[1]), seq, ack, flags,
            packet[start + (offset >> 4) * 4:])
