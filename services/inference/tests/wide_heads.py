"""The tiny model with heads as wide as vLLM's kernels for a CPU want them: 32 at least."""

import json
import shutil
from pathlib import Path

import numpy as np

NARROW, WIDE = 16, 32
LENGTH_BYTES = 8
"""At the beginning of a safetensors file: how long its header is."""


def with_wide_heads(source: Path, folder: Path) -> Path:
    """Each head gets zeros for the width that it lacks. It is another model, which does not matter.

    Returns:
        `folder`, made if it is not there.
    """
    shutil.copytree(source, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"head_dim": WIDE}))
    weights = folder / "model.safetensors"
    weights.write_bytes(_widened(weights.read_bytes()))
    return folder


def _widened(file: bytes) -> bytes:
    size = int.from_bytes(file[:LENGTH_BYTES], "little")
    header, body = json.loads(file[LENGTH_BYTES:][:size]), file[LENGTH_BYTES + size :]
    parts, place = [], 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        # bfloat16, which numpy lacks; of zeros the bits are zeros too.
        whole = np.frombuffer(body[start:end], np.uint16).reshape(entry["shape"])
        part = _wide(name, whole)
        parts.append(part.tobytes())
        entry["shape"] = list(part.shape)
        entry["data_offsets"] = [place, place + part.nbytes]
        place += part.nbytes
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % LENGTH_BYTES)
    return len(written).to_bytes(LENGTH_BYTES, "little") + written + b"".join(parts)


def _wide(name: str, weight: np.ndarray) -> np.ndarray:
    lacking = WIDE - NARROW
    if any(name.endswith(f"{one}_proj.weight") for one in ("q", "k", "v")):
        heads = weight.reshape(-1, NARROW, weight.shape[1])
        return np.pad(heads, ((0, 0), (0, lacking), (0, 0))).reshape(-1, weight.shape[1])
    if name.endswith("o_proj.weight"):
        heads = weight.reshape(weight.shape[0], -1, NARROW)
        return np.pad(heads, ((0, 0), (0, 0), (0, lacking))).reshape(weight.shape[0], -1)
    return weight
