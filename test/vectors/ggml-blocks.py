"""Writes ggml-blocks.json: rows of 32 numbers, and the blocks that gguf-py (PyPI: gguf, numpy) rounds them to.

    python3 test/vectors/ggml-blocks.py > test/vectors/ggml-blocks.json
"""

import base64
import importlib.metadata
import json

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize

random = np.random.default_rng(3)
rows = [
    random.standard_normal(32) * 0.05,
    random.standard_normal(32) * 3,
    np.zeros(32),
    np.full(32, -0.25),
    np.linspace(-1, 1, 32),
    # Many lie in the middle between two quants.
    np.arange(32) - 15.5,
    random.standard_normal(32) * 1e-6,
    np.r_[-8, random.integers(-16, 17, 31) / 2],
    random.uniform(0.5, 0.75, 32),
    random.standard_t(2, 32),
]
values = np.array(rows, np.float32)
text = lambda array: base64.b64encode(array.tobytes()).decode()
types = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
blocks = {name: text(quantize(values, GGMLQuantizationType[name])) for name in types}
made = f"gguf {importlib.metadata.version('gguf')}"
print(json.dumps({"made": made, "values": text(values), **blocks}, indent=2))
