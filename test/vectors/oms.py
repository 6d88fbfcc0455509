"""Writes oms.json: files in the order, and with the root digest, of OpenSSF Model Signing v1.0.

The reference signer sorts by pathlib's order of POSIX paths; so does this.

    python3 test/vectors/oms.py > test/vectors/oms.json
"""

import hashlib
import json
import pathlib

names = [
    "config.json", "a-b/x", "a/x", "a/y/z", "a/y.z", "A", ".hidden",
    "onnx/model.onnx", "onnx/model.onnx_data", "onnx.txt", "onnx-q4/m",
    "é", "\U0001f600", "\uff5e", "a b", "a/é/1", "a/z/1",
]
root = hashlib.sha256()
files = []
for path in sorted(pathlib.PurePosixPath(name) for name in names):
    content = hashlib.sha256(str(path).encode())
    root.update(content.digest())
    files.append({"name": str(path), "sha256": content.hexdigest()})
vector = {"unsorted": names, "files": files, "root": root.hexdigest()}
print(json.dumps(vector, indent=2, ensure_ascii=False))
