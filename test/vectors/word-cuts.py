"""Writes word-cuts.json: texts of all scripts, cut by Rust's tokenizers (PyPI: tokenizers) with a small vocabulary whose
merges know no words, so that each cut shows in the tokens.

    python3 test/vectors/word-cuts.py > test/vectors/word-cuts.json
"""

import json
import random
import unicodedata

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

random.seed(3)
ranges = [
    (0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x52F), (0x530, 0x6FF), (0x900, 0xDFF), (0xE00, 0x10FF),
    (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF),
]
spaces = [" ", "  ", "\n", "\t", "\r\n", "\u0085", "\ufeff", "\u00a0", "\u3000", "\u2028", "'s", "'LL", "123", "½", "²", "३", "٣", "Ⅳ", "a1b2"]
words = "the of Hello world naïve Straße привет мир こんにちは 世界 안녕 مرحبا שלום नमस्ते สวัสดี ﬀ x=y; 3.14".split()


def character():
    while True:
        c = chr(random.randint(*random.choice(ranges)))
        if unicodedata.category(c) not in ("Cs", "Cn"):
            return c


def text():
    parts = []
    for _ in range(random.randint(1, 10)):
        r = random.random()
        parts.append(random.choice(words) if r < 0.35 else random.choice(spaces) if r < 0.65 else " " if r < 0.75 else character())
    return "".join(parts)


texts = [text() for _ in range(6000)]
trained = Tokenizer(models.BPE())
trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
alphabet = pre_tokenizers.ByteLevel.alphabet()
trained.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=420, initial_alphabet=sorted(alphabet), show_progress=False))
file = json.loads(trained.to_str())
by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
split = lambda digits: {
    "type": "Split",
    "pattern": {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"},
    "behavior": "Isolated",
    "invert": False,
}
plain = {**by_bytes, "use_regex": False}
cuts = {
    "digits": [{"type": "Digits", "individual_digits": True}, by_bytes],
    "runs of digits": [{"type": "Digits", "individual_digits": False}, by_bytes],
    "bytes": [by_bytes],
    "Llama 3": [split("{1,3}"), plain],
    "Qwen2": [split(""), plain],
}
known = ["12345 67,890.12", "٣٤٥ १२३", "ﬀ ligature ½ ²", "𝕳𝖊𝖑𝖑𝖔", "a\u0085 b", "a \ufeff b", "x  ²  ½³", "Ⅳ Ⅴ", " 1 2  3", "it's we'LL"]
short = [each for each in texts if len(each) < 30]
cases = []
for name, steps in cuts.items():
    shown = known + short[: 100 if name in ("Llama 3", "Qwen2") else 30]
    file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    tokenizer = Tokenizer.from_str(json.dumps(file))
    answers = [[each, tokenizer.encode(each).ids] for each in shown]
    cases.append({"name": name, "pre_tokenizer": file["pre_tokenizer"], "answers": answers})
vector = {"made": f"tokenizers {tokenizers.__version__}", "vocab": file["model"]["vocab"], "merges": file["model"]["merges"], "cases": cases}
print(json.dumps(vector, ensure_ascii=True))
