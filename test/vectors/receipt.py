"""Writes receipt.json: what docs/receipts.md says of salts, runs, statements, entries and proofs, computed without Chorus.

    python3 test/vectors/receipt.py > test/vectors/receipt.json

Needs the package `cryptography` for Ed25519.
"""

import base64
import hashlib
import json
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUED = 1772366400  # 2026-03-01T12:00:00Z
STATEMENT = "application/vnd.in-toto+json"
TYPES = "urn:uuid:4f0a8a5e-6c1b-4f6e-9d0c-2b7f1a3c5e71#chorus-"


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(data):
    return base64.b64encode(data).decode()


class Party:
    def __init__(self, name):
        self.key = Ed25519PrivateKey.from_private_bytes(sha(b"vector ", name.encode()))
        raw, fmt = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.public = self.key.public_key().public_bytes(raw, fmt)
        self.id = sha(self.public).hex()

    def envelope(self, payload_type, value):
        payload = json.dumps(value).encode()
        sig = self.key.sign(pae(payload_type, payload))
        return {
            "payloadType": payload_type,
            "payload": b64(payload),
            "signatures": [{"keyid": self.id, "sig": b64(sig)}],
        }


def pae(payload_type, payload):
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


requester, server, primary, shadow, log, witness = map(Party, "requester server primary shadow log witness".split())


def chain(rows):
    link = bytes(32)
    for row in rows:
        link = sha(link, sha(row))
    return link


def shapes(runs):
    link = bytes(32)
    for run in runs:
        link = sha(link, struct.pack("<II", *run))
    return link.hex()


salt = sha(b"salt")


def salted(data):
    return sha(salt, data).hex()


prompt = "<|user|>Wren?<|end|>"
answer = "Small, brown, loud."
tokens = [7 * i % 250 for i in range(40)]
rows = [struct.pack("<I", token) for token in tokens]
fed = 39
model = sha(b"manifest").hex()
session = sha(b"session")[:16].hex()
stage_range = {"start": 0, "end": 2, "embedding": True, "head": True}
runtime = {"name": "onnxruntime-web", "version": "1.30.0"}

route = {
    "session": session,
    "purpose": "answer",
    "model": model,
    "requester": {"id": requester.id, "webrtc": False},
    "capacity": 64,
    "issuedAtMs": ISSUED * 1000,
    "expiresAtMs": (ISSUED + 600) * 1000,
    "stages": [
        {
            "range": stage_range,
            "primary": {"id": primary.id, "webrtc": False, "numericClass": "wasm"},
            "shadows": [{"id": shadow.id, "webrtc": False, "numericClass": "wasm"}],
            "predictedMs": 1,
        }
    ],
    "notes": [],
}

outputs = [b"" if i < 19 else b"logits %d" % i for i in range(fed)]
primary_runs = [(0, 20)] + [(i, 1) for i in range(20, fed)]


def attestation(party, role, runs):
    ends = [{"end": end, "sha256": salted(chain(outputs[:end]))} for end in (32, fed)]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "stage 0 output", "digest": {"sha256": ends[-1]["sha256"]}}],
        "predicateType": TYPES + "stage-attestation-v1",
        "predicate": {
            "session": session,
            "stage": 0,
            "range": stage_range,
            "role": role,
            "model": model,
            "numericClass": "wasm",
            "runtime": runtime,
            "positions": fed,
            "input": {"sha256": salted(chain(rows[:fed]))},
            "outputs": ends,
            "runs": {"sha256": shapes(runs)},
            "attestedAt": "2026-03-01T12:00:10Z",
        },
    }
    return {
        "id": party.id,
        "role": role,
        "numericClass": "wasm",
        "signed": {"publicKey": b64(party.public), "attestation": party.envelope(STATEMENT, statement)},
    }


zero = {"median": 0, "p95": 0, "max": 0, "bias": 0}
thresholds = json.load(open("shared/judge/thresholds.json"))
pair = next(p for p in thresholds["pairs"] if p["pair"] == "wasm + wasm" and p["kind"] == "logits")
limits = {key: pair[key] for key in ("pair", "kind", "accept", "reject", "tokenGap")} | {"isMeasured": True}
finding = {
    "shadow": shadow.id,
    "outcome": "agreed",
    "isExact": True,
    "closeness": zero | {"norm": 1, "tokenGap": 0},
    "limits": limits,
}


def span(start, end):
    stage = {"stage": 0, "tier": "checked", "findings": [finding], "arbiter": None}
    return {"start": start, "end": end, "tier": "checked", "stages": [stage]}


predicate = {
    "requester": {"id": requester.id, "publicKey": b64(requester.public), "kind": "gateway"},
    "model": {
        "name": "vector",
        "manifest": {"sha256": model},
        "root": {"sha256": sha(b"root").hex()},
        "layers": 2,
        "hiddenSize": 8,
        "quantization": "q8",
        "runtime": runtime,
    },
    "request": {
        "prompt": {"sha256": salted(prompt.encode())},
        "tokens": {"prompt": 20, "answer": 20, "sha256": salted(chain(rows))},
        "sampling": {"temperature": 0.5, "topP": 0.9, "seed": 3, "maxNewTokens": 20},
        "seedCommitment": {"sha256": sha(b"anchor").hex()},
        "nonce": sha(b"nonce")[:16].hex(),
    },
    "session": session,
    "route": {"serverKey": b64(server.public), "envelope": server.envelope("application/vnd.chorus.route+json", route)},
    "positions": fed,
    "runs": [
        {"start": 0, "count": 20, "logits": 1, "times": 1},
        {"start": 20, "count": 1, "logits": 1, "times": 19},
    ],
    "stages": [
        {
            "range": stage_range,
            "replicas": [
                attestation(primary, "primary", primary_runs),
                attestation(shadow, "shadow", [(0, 32), (32, 7)]),
            ],
        }
    ],
    "spans": [span(0, 32), span(32, fed)],
    "thresholds": {"sha256": sha(open("shared/judge/thresholds.json", "rb").read()).hex()},
    "verdict": {"tier": "checked", "counts": {"checked": 2, "settled": 0, "unchecked": 0, "disputed": 0}},
    "faults": [],
    "startedAt": "2026-03-01T12:00:01Z",
    "finishedAt": "2026-03-01T12:00:09.250Z",
}
statement = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "answer", "digest": {"sha256": sha(answer.encode()).hex()}}],
    "predicateType": TYPES + "receipt-v1",
    "predicate": predicate,
}
envelope = requester.envelope(STATEMENT, statement)
receipt_id = sha(pae(STATEMENT, base64.b64decode(envelope["payload"]))).hex()
entry = f"chorus-receipt-entry/1\n{receipt_id}\n{model}\nchecked\n{requester.id}\n2026-03-01T12:00:09Z\n"

# A tree of three entries, ours the last: its sibling is the root of the first two.
leaves = [sha(b"\0", data) for data in (b"first\n", b"second\n", entry.encode())]
pair_root = sha(b"\1", leaves[0], leaves[1])
root = sha(b"\1", pair_root, leaves[2])
text = f"log.example/vector\n3\n{b64(root)}\n"


def key_id(name, kind, public):
    return sha(name.encode(), b"\n", bytes([kind]), public)[:4]


def verifier_key(name, kind, public):
    return f"{name}+{key_id(name, kind, public).hex()}+{b64(bytes([kind]) + public)}"


def signature(name, kind, party, data):
    return f"\u2014 {name} {b64(key_id(name, kind, party.public) + data)}\n"


seen = ISSUED + 20
cosigned = struct.pack(">Q", seen) + witness.key.sign(f"cosignature/v1\ntime {seen}\n{text}".encode())
checkpoint = (
    text
    + "\n"
    + signature("log.example/vector", 1, log, log.key.sign(text.encode()))
    + signature("witness.example/w", 4, witness, cosigned)
)
proof = f"c2sp.org/tlog-proof@v1\nindex 2\n{b64(pair_root)}\n\n{checkpoint}"
policy = (
    f"log {verifier_key('log.example/vector', 1, log.public)}\n"
    f"witness w {verifier_key('witness.example/w', 4, witness.public)}\n"
    "quorum w\n"
)

print(
    json.dumps(
        {
            "receipt": {"format": "chorus-receipt/1", "envelope": envelope, "proof": proof},
            "answer": answer,
            "secrets": {"format": "chorus-receipt-secrets/1", "salt": salt.hex(), "prompt": prompt, "tokens": tokens},
            "policy": policy,
            "id": receipt_id,
            "entry": entry,
        },
        indent=2,
    )
)
