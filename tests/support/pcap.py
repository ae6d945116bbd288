"""Capture files: read by the few bytes of their format, and by tcpdump."""

import collections
import struct
import subprocess

from support import wait

FILE_HEADER = struct.Struct("=IHHiIII")
RECORD = struct.Struct("=IIII")
RAW_IP = 101
NANOSECONDS = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}

Packet = collections.namedtuple("Packet", "time bytes")


def read(data):
    """The packets of a whole file of raw IP packets, in this host's byte order."""
    magic, major, minor, _, _, snaplen, linktype = FILE_HEADER.unpack_from(data)
    assert (major, minor, linktype) == (2, 4, RAW_IP)
    packets, at = [], FILE_HEADER.size
    while at < len(data):
        seconds, fraction, kept, length = RECORD.unpack_from(data, at)
        at += RECORD.size
        assert kept == min(length, snaplen) and at + kept <= len(data)
        packets.append(Packet(seconds + fraction * NANOSECONDS[magic] / 1e9, data[at:at + kept]))
        at += kept
    return packets


def tcpdump(path, *arguments):
    """What tcpdump says of a file, line by line."""
    done = subprocess.run(["tcpdump", "-n", "-r", str(path), *arguments], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class Sniffer:
    """tcpdump on an interface in a namespace, as the second witness. Use as a context manager."""

    def __init__(self, namespace, interface, path, *expression):
        self.path = path
        self._process = namespace.start(
            ["tcpdump", "-n", "-U", "--immediate-mode", "-s", "2000", "-B", "32768", "-i",
             interface, "-w", path, *expression],
            stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self._process.stderr.readline()
        while "listening on" not in line:
            assert line, "tcpdump ended"
            line = self._process.stderr.readline()
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        self._process.stderr.close()

    def packets(self):
        """What it has written by now."""
        return read(self.path.read_bytes()) if self.path.exists() else []

    def wait_for(self, count):
        """Waits until it has written so many packets."""
        wait.until(lambda: len(self.packets()) >= count, f"{count} packets are seen")
