"""Writes sampler.json: what docs/protocol.md says of the sampler, computed without Chorus.

    python3 test/vectors/sampler.py > test/vectors/sampler.json

Logarithms and exponentials are there twice: their value to 60 digits, rounded to a double, and the bits that the steps of
the specification give. Python's floats are IEEE 754 doubles, and its operators round once.
"""

import hashlib
import json
import math
import struct
from decimal import Decimal, getcontext

getcontext().prec = 60
HIGH, LOW = 6.93147180369123816490e-1, 1.90821492927058770002e-10
L = [0.0, 0.6666666666666735, 0.3999999999940942, 0.2857142874366239, 0.22222198432149784]
L += [0.1818357216161805, 0.15313837699209373, 0.14798198605116586]
E = [0.0, 0.16666666666666602, -2.7777777777015593e-3, 6.613756321437934e-5, -1.6533902205465252e-6]
E += [4.1381367970572385e-8]


def ln_of(exponent, f):
    if f == 0:
        return 0.0 if exponent == 0 else exponent * HIGH + exponent * LOW
    s = f / (2 + f)
    z = s * s
    w = z * z
    odd = w * (L[2] + w * (L[4] + w * L[6]))
    even = z * (L[1] + w * (L[3] + w * (L[5] + w * L[7])))
    square = 0.5 * f * f
    rest = s * (square + (even + odd))
    if exponent == 0:
        return f - (square - rest)
    return exponent * HIGH - (square - (rest + exponent * LOW) - f)


def ln(x):
    mantissa, exponent = math.frexp(x)
    mantissa, exponent = mantissa * 2, exponent - 1
    if mantissa < 1.4142135623730951:
        return ln_of(exponent, mantissa - 1)
    return ln_of(exponent + 1, mantissa / 2 - 1)


def exp(x):
    k = math.floor(x / (HIGH + LOW) + 0.5)
    high, low = x - k * HIGH, k * LOW
    r = high - low
    t = r * r
    c = r - t * (E[1] + t * (E[2] + t * (E[3] + t * (E[4] + t * E[5]))))
    return (1 - (low - (r * c) / (2 - c) - high)) * 2.0**k


def gumbel(n):
    if n < 2**52:
        u = ln((n + 0.5) / 2**53)
    else:
        missing = (2**53 - 1 - n + 0.5) / 2**53
        u = ln_of(0, -missing) if missing < 0.2928932188134524 else ln_of(-1, 1 - 2 * missing)
    return -ln(-u)


def number(seed, position, token):
    digest = hashlib.sha256(f"chorus-sample/2:{seed}:{position}:{token}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def draw(logits, log_sum_exp, temperature, top_p, seed, position):
    """`logits`: pairs of token and logit in their order."""
    if temperature == 0:
        return logits[0][0]
    mass, best, token = 0.0, None, None
    for i, (candidate, logit) in enumerate(logits):
        if i > 0 and mass >= top_p:
            break
        mass += exp(logit - log_sum_exp)
        score = logit / temperature + gumbel(number(seed, position, candidate))
        if best is None or score > best:
            best, token = score, candidate
    return token


def bits(x):
    return struct.pack(">d", x).hex()


def spread(name, i):
    return int.from_bytes(hashlib.sha256(f"{name} {i}".encode()).digest()[:8], "big") / 2**64


lns = [2.0**-54, 1e-300, 0.5, 0.7071067811865475, 0.7071067811865476, 1 - 2.0**-53, 1.0, 1 + 2.0**-52, 1.5, 37.42994775023705]
lns += [spread("ln", i) * 2.0 ** (i - 60) for i in range(90)]
exps = [0.0, -1e-300, 1e-17, -0.34657359027997264, 0.34657359027997264, -0.35, 1.0, -30.0, 699.9, -699.9]
exps += [-40 * spread("exp", i) for i in range(90)]
numbers = [0, 1, 2**51, 2**52 - 1, 2**52, 2**52 + 1, 6369051672525772, 6369051672525773, 2**53 - 2, 2**53 - 1]
numbers += [int(spread("n", i) * 2**53) for i in range(90)]


def exact_gumbel(n):
    return float(-(-((Decimal(2 * n + 1) / Decimal(2**54)).ln())).ln())


rows = []
for i in range(40):
    logits = sorted(((t, f32(8 * spread(f"row {i}", t))) for t in range(12)), key=lambda pair: (-pair[1], pair[0]))
    total = f32(math.log(sum(math.exp(logit) for _, logit in logits)))
    temperature, top_p = [(0, 1), (1, 1), (0.7, 0.9), (1.5, 0.5)][i % 4]
    seed, position = [0, 42, -1, 2**53 - 1][i // 4 % 4], 17 * i
    token = draw(logits, total, temperature, top_p, seed, position)
    rows.append(dict(logits=logits, logSumExp=total, temperature=temperature, topP=top_p, seed=seed, position=position, token=token))

print(
    json.dumps(
        {
            "ln": [{"x": x, "near": float(Decimal(x).ln()), "bits": bits(ln(x))} for x in lns],
            "exp": [{"x": x, "near": float(Decimal(x).exp()), "bits": bits(exp(x))} for x in exps],
            "gumbel": [{"n": n, "near": exact_gumbel(n), "bits": bits(gumbel(n))} for n in numbers],
            "numbers": [
                {"seed": seed, "position": position, "token": token, "n": number(seed, position, token)}
                for seed, position, token in [(0, 0, 0), (42, 17, 3), (-1, 131071, 49151), (2**53 - 1, 1, 7)]
            ],
            "draws": rows,
        },
        indent=2,
    )
)
