#!/usr/bin/env python3
"""Computes the known answers of the hash tests with Python's own BLAKE2s and HMAC.

Run it and compare: each line is the name and the value that tests/unit/crypto/hash_test.c expects.
"""
import hashlib
import hmac


def sequence(length, seed):
    """The input generator of RFC 7693, appendix E."""
    a, b, out = (0xDEAD4BAD * seed) & 0xFFFFFFFF, 1, bytearray()
    for _ in range(length):
        a, b = b, (a + b) & 0xFFFFFFFF
        out.append(b >> 24)
    return bytes(out)


def self_test():
    whole = hashlib.blake2s()
    for length in (0, 3, 64, 65, 255, 1024):
        data = sequence(length, length)
        whole.update(hashlib.blake2s(data).digest())
        whole.update(hashlib.blake2s(data, digest_size=16, key=sequence(16, 16)).digest())
    return whole.hexdigest()


def mac(key, data):
    return hmac.new(key, data, hashlib.blake2s).digest()


def kdf(key, data, count):
    secret, out, last = mac(key, data), [], b""
    for i in range(1, count + 1):
        last = mac(secret, last + bytes([i]))
        out.append(last.hex())
    return out


if __name__ == "__main__":
    key = bytes(range(32))
    print("self_test", self_test())
    print("hmac", mac(key, b"hello").hex())
    for name, value in zip(("kdf1", "kdf2", "kdf3"), kdf(key, b"input", 3)):
        print(name, value)
    for name, value in zip(("empty1", "empty2"), kdf(bytes(32), b"", 2)):
        print(name, value)
