"""A WireGuard peer that nobody here wrote: wireguard-go, driven with wg, in a namespace."""

import os
import shutil
import subprocess

from support import wait


def missing_requirement(program="wireguard-go"):
    """Why no peer can run here, or None."""
    for needed in (program, "wg"):
        if shutil.which(needed) is None:
            return f"{needed} is not installed"
    if not os.path.exists("/dev/net/tun"):
        return "/dev/net/tun does not exist"
    return None


def public_key(private):
    """The public key of a private one, both in base64."""
    return subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True,
                          check=True).stdout.strip()


class KeyPair:
    """A fresh pair of WireGuard keys, in base64."""

    def __init__(self):
        self.private = preshared_key()
        self.public = public_key(self.private)


def preshared_key():
    """32 random bytes that also serve as a private key, in base64."""
    return subprocess.run(["wg", "genkey"], capture_output=True, text=True,
                          check=True).stdout.strip()


class Peer:
    """One wireguard-go with one interface; its inner addresses and keys outlive a restart."""

    def __init__(self, namespace, directory, addresses=("10.9.0.1/24", "fd09::1/64"), port=51820,
                 mtu=1420, program="wireguard-go", interface="wg0"):
        self.namespace = namespace
        self.interface = interface
        self.keys = KeyPair()
        self.port = port
        self.v4 = addresses[0].split("/")[0]
        self.v6 = addresses[1].split("/")[0]
        self._addresses = addresses
        self._mtu = mtu
        self._program = program
        self._directory = directory
        self._allowed = {}
        self._process = None

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        with open(self._directory / "wireguard-go.log", "ab") as log:
            self._process = self.namespace.start([self._program, "-f", self.interface],
                                                 stdout=log, stderr=log)
        wait.until(lambda: self._wg("show", self.interface, check=False).returncode == 0,
                   "wireguard-go answers")
        self._wg("set", self.interface, "listen-port", self.port, "private-key",
                 self._secret(self.keys.private))
        for address in self._addresses:
            self.namespace.run("ip", "address", "add", address, "dev", self.interface,
                               *(["nodad"] if ":" in address else []))
        self.namespace.run("ip", "link", "set", self.interface, "mtu", self._mtu, "up")
        for key, arguments in self._allowed.items():
            self._wg("set", self.interface, "peer", key, *arguments)
        return self

    def stop(self):
        """Kills it; the interface goes with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def allow(self, key, allowed_ips, preshared=None, endpoint=None, keepalive=None):
        """Adds or changes the peer with that public key."""
        arguments = ["allowed-ips", ",".join(allowed_ips)]
        if preshared is not None:
            arguments += ["preshared-key", self._secret(preshared)]
        if endpoint is not None:
            arguments += ["endpoint", endpoint]
        if keepalive is not None:
            arguments += ["persistent-keepalive", keepalive]
        self._allowed[key] = arguments
        self._wg("set", self.interface, "peer", key, *arguments)

    def allow_many(self, key, allowed_ips):
        """Adds more allowed IPs to a peer than a command line holds."""
        path = self._directory / "allowed-ips.conf"
        lines = "".join(f"AllowedIPs = {prefix}\n" for prefix in allowed_ips)
        path.write_text(f"[Peer]\nPublicKey = {key}\n{lines}")
        self._wg("addconf", self.interface, path)

    def forget(self, key):
        """Removes the peer with that public key."""
        self._allowed.pop(key, None)
        if self._process is not None:
            self._wg("set", self.interface, "peer", key, "remove")

    def latest_handshake(self, key):
        """Unix time of the newest handshake with that peer; 0 = never."""
        return int(self._show("latest-handshakes", key))

    def endpoint(self, key):
        """The outer (host, port) that the peer with that public key was last seen at."""
        host, _, port = self._show("endpoints", key).rpartition(":")
        return host.strip("[]"), int(port)

    def transfer(self, key):
        """Bytes (received from, sent to) the peer with that public key."""
        received, sent = self._show("transfer", key).split("\t")
        return int(received), int(sent)

    def allowed_ips(self, key):
        """The allowed IPs of the peer with that public key, in the order in which wg has them."""
        return self._show("allowed-ips", key).split()

    def move(self, port):
        """Listens on another port; what it knows of its peers stays."""
        self.port = port
        self._wg("set", self.interface, "listen-port", port)

    def tell_endpoint(self, key, endpoint):
        """Where the peer with that public key is to be reached from now on."""
        self._wg("set", self.interface, "peer", key, "endpoint", endpoint)

    def preshare(self, key, secret):
        """Changes the preshared key of the peer with that public key."""
        self._wg("set", self.interface, "peer", key, "preshared-key", self._secret(secret))

    def change_keys(self, keys):
        """Takes on another private key; its peers stay."""
        self.keys = keys
        self._wg("set", self.interface, "private-key", self._secret(keys.private))

    def _show(self, what, key):
        for line in self._wg("show", self.interface, what).stdout.splitlines():
            name, value = line.split("\t", 1)
            if name == key:
                return value
        raise KeyError(key)

    def _secret(self, text):
        """wg takes secrets from files only; a file per secret, kept as long as the directory."""
        path = self._directory / f"secret-{public_key(text).replace('/', '_')}"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def _wg(self, *arguments, check=True):
        return self.namespace.run("wg", *arguments, check=check)
