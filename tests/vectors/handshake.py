#!/usr/bin/env python3
"""Computes the known answers of tests/unit/wg/handshake_test.c and cookie_test.c, independently of
the engine.

A direct transcription of sections 5.4.2 to 5.4.5 and 5.4.7 of the WireGuard paper. X25519 is written
from RFC 7748, ChaCha20-Poly1305 from RFC 8439, and XChaCha20 from draft-irtf-cfrg-xchacha; BLAKE2s
and HMAC are Python's own.
"""
import hashlib
import hmac
import struct

P = 2**255 - 19


def x25519(k, u):
    k = bytearray(k)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    k = int.from_bytes(k, "little")
    u = int.from_bytes(u, "little") & (2**255 - 1)
    x1, x2, z2, x3, z3, swap = u, 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = (k >> t) & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def public(k):
    return x25519(k, bytes([9]) + bytes(31))


def rotate(x, n):
    return ((x << n) & 0xFFFFFFFF) | (x >> (32 - n))


def quarter(s, a, b, c, d):
    for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & 0xFFFFFFFF
        s[z] = rotate(s[z] ^ s[x], n)


def chacha_start(key, last):
    return [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), *last]


def chacha_rounds(start):
    s = start[:]
    for _ in range(10):
        for i in range(4):
            quarter(s, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


def chacha_block(key, counter, nonce):
    start = chacha_start(key, (counter, *struct.unpack("<3I", nonce)))
    return struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(chacha_rounds(start), start)))


def hchacha(key, nonce):
    s = chacha_rounds(chacha_start(key, struct.unpack("<4I", nonce)))
    return struct.pack("<8I", *s[:4], *s[12:])


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i : i + 16] + b"\1", "little")) * r
        total %= 2**130 - 5
    total += int.from_bytes(key[16:32], "little")
    return (total % 2**128).to_bytes(16, "little")


def pad16(data):
    return data + bytes(-len(data) % 16)


def aead(key, plain, ad, nonce=bytes(12)):
    cipher = b""
    for i in range(0, len(plain), 64):
        block = chacha_block(key, 1 + i // 64, nonce)
        cipher += bytes(x ^ y for x, y in zip(plain[i : i + 64], block))
    lengths = struct.pack("<QQ", len(ad), len(cipher))
    return cipher + poly1305(chacha_block(key, 0, nonce), pad16(ad) + pad16(cipher) + lengths)


def hash_(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def kdf(key, data, count):
    keyed = lambda k, d: hmac.new(k, d, hashlib.blake2s).digest()
    secret, out, last = keyed(key, data), [], b""
    for i in range(1, count + 1):
        last = keyed(secret, last + bytes([i]))
        out.append(last)
    return out


def handshake():
    static_i, static_r = bytes([0x11] * 32), bytes([0x22] * 32)
    ephemeral_i, ephemeral_r = bytes([0x33] * 32), bytes([0x44] * 32)
    psk = bytes([0x55] * 32)
    stamp = struct.pack(">QI", 0x400000000000000A + 1700000000, 123456789 & ~0xFFFFFF)

    c = hash_(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    h = hash_(hash_(c, b"WireGuard v1 zx2c4 Jason@zx2c4.com"), public(static_r))

    e = public(ephemeral_i)
    (c,) = kdf(c, e, 1)
    h = hash_(h, e)
    c, k = kdf(c, x25519(ephemeral_i, public(static_r)), 2)
    enc_static = aead(k, public(static_i), h)
    h = hash_(h, enc_static)
    c, k = kdf(c, x25519(static_i, public(static_r)), 2)
    enc_stamp = aead(k, stamp, h)
    h = hash_(h, enc_stamp)
    print("initiation", (e + enc_static + enc_stamp).hex())

    e = public(ephemeral_r)
    (c,) = kdf(c, e, 1)
    h = hash_(h, e)
    (c,) = kdf(c, x25519(ephemeral_r, public(ephemeral_i)), 1)
    (c,) = kdf(c, x25519(ephemeral_r, public(static_i)), 1)
    c, tau, k = kdf(c, psk, 3)
    h = hash_(h, tau)
    print("response", (e + aead(k, b"", h)).hex())

    send, receive = kdf(c, b"", 2)
    print("send", send.hex())
    print("receive", receive.hex())


def cookies():
    public_key = bytes([1, 2, 3]).ljust(32, b"\0")
    secret, nonce = bytes([9, 9]).ljust(32, b"\0"), bytes([7]).ljust(24, b"\0")
    message = struct.pack("<II", 1, 0x12345678).ljust(116, b"\0")
    message += mac(hash_(b"mac1----", public_key), message)
    print("mac1", message[116:].hex())
    for name, address in (
        ("ipv4", bytes([192, 0, 2, 1])),
        ("ipv6", bytes.fromhex("20010db8000000000000000000000001")),
    ):
        cookie = mac(secret, address + struct.pack(">H", 51820))
        key = hchacha(hash_(b"cookie--", public_key), nonce[:16])
        sealed = aead(key, cookie, message[116:], bytes(4) + nonce[16:])
        print(name, "reply", (struct.pack("<II", 3, 0x12345678) + nonce + sealed).hex())
        print(name, "mac2", mac(cookie, message).hex())


if __name__ == "__main__":
    handshake()
    cookies()
