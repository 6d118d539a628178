#!/usr/bin/env python3
"""crafted_h5.py FILE COPY SEED: a copy of an HDF5 file with one to four bytes changed in
one object header of version 2 and that header's checksum recomputed, so that checksums don't
detect the change. The same seed gives the same copy."""
import random
import struct
import sys

MASK = 0xFFFFFFFF


def rotate(value, bits):
    return (value << bits | value >> (32 - bits)) & MASK


def lookup3(data):
    """Bob Jenkins' hashlittle(data, 0), HDF5's checksum of metadata."""
    a = b = c = (0xDEADBEEF + len(data)) & MASK
    at = 0
    while len(data) - at > 12:
        x, y, z = struct.unpack_from("<3I", data, at)
        a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
        for bits_a, bits_b, bits_c in ((4, 6, 8), (16, 19, 4)):
            a = (a - c) & MASK ^ rotate(c, bits_a)
            c = (c + b) & MASK
            b = (b - a) & MASK ^ rotate(a, bits_b)
            a = (a + c) & MASK
            c = (c - b) & MASK ^ rotate(b, bits_c)
            b = (b + a) & MASK
        at += 12
    if at == len(data):
        return c
    x, y, z = struct.unpack("<3I", data[at:].ljust(12, b"\0"))
    a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
    c = ((c ^ b) - rotate(b, 14)) & MASK
    a = ((a ^ c) - rotate(c, 11)) & MASK
    b = ((b ^ a) - rotate(a, 25)) & MASK
    c = ((c ^ b) - rotate(b, 16)) & MASK
    a = ((a ^ c) - rotate(c, 4)) & MASK
    b = ((b ^ a) - rotate(a, 14)) & MASK
    return ((c ^ b) - rotate(b, 24)) & MASK


def headers(data):
    """(start, start of the messages, offset of the checksum) of each object header."""
    found = []
    at = data.find(b"OHDR")
    while at >= 0:
        flags = data[at + 5]
        messages = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        end = messages + width + int.from_bytes(data[messages : messages + width], "little")
        checksum = int.from_bytes(data[end : end + 4], "little")
        if end + 4 <= len(data) and checksum == lookup3(data[at:end]):
            found.append((at, messages + width, end))
        at = data.find(b"OHDR", at + 4)
    return found


def main():
    source, copy, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(source, "rb") as file:
        data = bytearray(file.read())
    rng = random.Random(seed)
    found = headers(bytes(data))
    if not found:
        sys.exit(f"{source}: no object header was found")
    start, messages, end = rng.choice(found)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(messages, end)
        flipped = data[at] ^ 1 << rng.randrange(8)
        data[at] = rng.choice((0, 1, 127, 128, 255, flipped, rng.randrange(256)))
    data[end : end + 4] = struct.pack("<I", lookup3(bytes(data[start:end])))
    with open(copy, "wb") as file:
        file.write(data)


main()
