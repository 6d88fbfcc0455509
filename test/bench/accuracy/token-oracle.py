"""Writes 10,000 texts of all scripts and what Rust's tokenizers (PyPI: tokenizers) makes of them.

    python3 test/bench/accuracy/token-oracle.py TOKENIZER.json [COUNT] > EXPECTED.json
"""

import json
import random
import sys
import unicodedata

import tokenizers
from tokenizers import Tokenizer

random.seed(11)
# Every block of the planes in use, each as often as another.
blocks = [(at, at + 0x7F) for plane in (0x0000, 0x10000) for at in range(plane, plane + 0x10000, 0x80)] + [(0x1F000 + at, 0x1F07F + at) for at in range(0, 0x1000, 0x80)] * 4
usual = [(0x20, 0x7E), (0xA0, 0x24F), (0x370, 0x52F), (0x530, 0x6FF), (0x900, 0xDFF), (0xE00, 0x10FF), (0x2000, 0x218F), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF)]
odd = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\u0085", "\ufeff", "\u00a0", "\u3000", "\u2028", "\u200d", "\u0301", "\ufe0f", "'s", "'LL", "’re", "123", "1234567", "½", "²", "३", "٣", "Ⅳ", "a1b2", "...", "!?", "—", "\u0130", "ſ", "'ſ"]
words = "the of Hello world naïve Straße ça va привет мир Ёлка こんにちは 世界 안녕 مرحبا שלום नमस्ते สวัสดี ﬀ x=y; 3.14 f(x) don't WE'LL user@example.com <b> {\"a\":1} 👩‍👩‍👧 🇫🇷 e\u0301".split()


def character():
    while True:
        c = chr(random.randint(*random.choice(usual if random.random() < 0.6 else blocks)))
        if unicodedata.category(c) not in ("Cs", "Cn", "Co"):
            return c


def text():
    parts = []
    for _ in range(random.randint(1, 16)):
        r = random.random()
        parts.append(random.choice(words) if r < 0.3 else random.choice(odd) if r < 0.55 else " " if r < 0.7 else character())
    return "".join(parts)


tokenizer = Tokenizer.from_file(sys.argv[1])
count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
answers = [[each, tokenizer.encode(each, add_special_tokens=False).ids] for each in (text() for _ in range(count))]
json.dump({"made": f"tokenizers {tokenizers.__version__}", "answers": answers}, sys.stdout)
