"""Writes log.json: what docs/log.md's specifications say of trees, proofs, tiles and notes, computed without Chorus.

    python3 test/vectors/log.py > test/vectors/log.json

Needs the package `cryptography` for Ed25519.
"""

import base64
import hashlib
import json
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

COUNT = 300
entries = [b"entry %d" % i for i in range(COUNT)]


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(data):
    return base64.b64encode(data).decode()


def split(n):
    """The largest power of two smaller than n (RFC 6962 section 2.1)."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def root(leaves):
    if not leaves:
        return sha()
    if len(leaves) == 1:
        return sha(b"\0", leaves[0])
    k = split(len(leaves))
    return sha(b"\1", root(leaves[:k]), root(leaves[k:]))


def path(m, leaves):
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return path(m, leaves[:k]) + [root(leaves[k:])]
    return path(m - k, leaves[k:]) + [root(leaves[:k])]


def consistency(m, leaves, whole=True):
    """RFC 6962 section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return consistency(m, leaves[:k], whole) + [root(leaves[k:])]
    return consistency(m - k, leaves[k:], False) + [root(leaves[:k])]


class Signer:
    def __init__(self, name, kind):
        self.name = name
        self.key = Ed25519PrivateKey.from_private_bytes(sha(b"vector ", name.encode()))
        raw, fmt = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        material = bytes([kind]) + self.key.public_key().public_bytes(raw, fmt)
        self.id = sha(name.encode(), b"\n", material)[:4]
        self.vkey = f"{name}+{self.id.hex()}+{b64(material)}"

    def line(self, signature):
        return f"\u2014 {self.name} {b64(self.id + signature)}\n"


log = Signer("log.example/vector", 1)
witness = Signer("witness.example/vector", 4)
TIME = 1772366400


def checkpoint(size):
    text = f"{log.name}\n{size}\n{b64(root(entries[:size]))}\n"
    return text, log.line(log.key.sign(text.encode()))


text, signed = checkpoint(COUNT)
message = f"cosignature/v1\ntime {TIME}\n{text}".encode()
note = f"{text}\n{signed}{witness.line(struct.pack('>Q', TIME) + witness.key.sign(message))}"

INDEX, OLD = 271, 130
hashes = "".join(f"{b64(each)}\n" for each in path(INDEX, entries))
proof = f"c2sp.org/tlog-proof@v1\nextra {b64(b'extra')}\nindex {INDEX}\n{hashes}\n{note}"
growth = "".join(f"{b64(each)}\n" for each in consistency(OLD, entries))

leaves = [sha(b"\0", each) for each in entries]
bundles = [struct.pack(">H", len(each)) + each for each in entries]
tiles = {
    "tile/0/000": b"".join(leaves[:256]),
    "tile/0/001.p/44": b"".join(leaves[256:]),
    "tile/1/000.p/1": root(entries[:256]),
    "tile/entries/000": b"".join(bundles[:256]),
    "tile/entries/001.p/44": b"".join(bundles[256:]),
}

vector = {
    "count": COUNT,
    "roots": {str(size): root(entries[:size]).hex() for size in (0, 1, 2, 3, 7, 8, 255, 256, 257, 300)},
    "inclusion": [
        {"index": m, "size": n, "hashes": " ".join(each.hex() for each in path(m, entries[:n]))}
        for m, n in ((0, 1), (0, 2), (4, 7), (255, 256), (256, 257), (0, 300), (271, 300), (299, 300))
    ],
    "consistency": [
        {"old": m, "new": n, "hashes": " ".join(each.hex() for each in consistency(m, entries[:n]))}
        for m, n in ((1, 2), (3, 7), (4, 7), (6, 8), (256, 257), (130, 300), (299, 300))
    ],
    "tiles": {name: hashlib.sha256(data).hexdigest() for name, data in tiles.items()},
    "logKey": log.vkey,
    "witnessKey": witness.vkey,
    "note": note,
    "cosignedAt": TIME,
    "proof": {"index": INDEX, "text": proof},
    "request": {"old": OLD, "oldRoot": root(entries[:OLD]).hex(), "text": f"old {OLD}\n{growth}\n{text}\n{signed}"},
}
print(json.dumps(vector, indent=2, ensure_ascii=False))
