"""Writes check.json: what docs/protocol.md says of chains, seeds, sketches and statements, computed without Chorus.

    python3 test/vectors/check.py > test/vectors/check.json
"""

import hashlib
import json
import struct

ZERO = bytes(32)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def numbered(count, length):
    return [sha(b"row", struct.pack("<I", i))[: length(i)] for i in range(count)]


def chain(payloads):
    links = [ZERO]
    for payload in payloads:
        links.append(sha(links[-1], payload))
    return [link.hex() for link in links]


rows = numbered(5, lambda i: [32, 0, 7, 0, 1][i])
runs = [(0, 32), (32, 1), (33, 1), (34, 30)]

seeds = [bytes(range(32))]
for _ in range(4):
    seeds.append(sha(seeds[-1]))
seeds.reverse()

SIZE, HIDDEN = 16, 40
seed = sha(b"seed")
digests = b"".join(sha(b"chorus-sketch/1", seed, struct.pack("<I", n)) for n in range(3))
noise = struct.unpack("<120i", b"".join(sha(b"value", bytes([i])) for i in range(15)))
values = [struct.unpack("<f", struct.pack("<f", n / 2**28))[0] for n in noise[:80]] + [0.0] * HIDDEN
scale = [struct.unpack("<f", struct.pack("<f", (1 + abs(n)) / 2**30))[0] for n in noise[80:]]


def sketch(row):
    numbers = []
    for j in range(SIZE):
        total = 0.0
        for c in range(HIDDEN):
            bit = j * HIDDEN + c
            value = row[c] / scale[c]
            total += -value if digests[bit // 8] >> (bit % 8) & 1 else value
        numbers.append(0.25 * total)
    return struct.pack("<16f", *numbers)


sketches = [sketch(values[i * HIDDEN : (i + 1) * HIDDEN]) for i in range(3)]

session = bytes(range(16))
opening = bytes(range(16, 32))
span = {"session": session.hex(), "opening": opening.hex(), "epoch": 1, "index": 2, "start": 40, "end": 43, "stage": 5}
header = session + opening + struct.pack("<5I", 1, 2, 40, 43, 5)
names = ["inputFrom", "inputTo", "outputFrom", "outputTo", "shapes"]
chains = {name: sha(name.encode()) for name in names}
revealed = {"input": b"".join(sketches), "output": b"".join(reversed(sketches))}

print(
    json.dumps(
        {
            "rowChain": {"rows": [row.hex() for row in rows], "chain": chain(sha(row) for row in rows)},
            "shapeChain": {"runs": runs, "chain": chain(struct.pack("<II", *run) for run in runs)},
            "seedChain": {"secret": seeds[-1].hex(), "seeds": [s.hex() for s in seeds]},
            "sketch": {
                "hiddenSize": HIDDEN,
                "seed": seed.hex(),
                "values": struct.pack("<120f", *values).hex(),
                "scale": struct.pack("<40f", *scale).hex(),
                "sketch": b"".join(sketches).hex(),
            },
            "commit": {
                **span,
                **{name: value.hex() for name, value in chains.items()},
                "bytes": (b"chorus-commit/1\n" + header + b"".join(chains.values())).hex(),
            },
            "reveal": {
                **span,
                "seed": seed.hex(),
                **{name: value.hex() for name, value in revealed.items()},
                "bytes": (b"chorus-reveal/1\n" + header + seed + b"".join(map(sha, revealed.values()))).hex(),
            },
        },
        indent=2,
    )
)
