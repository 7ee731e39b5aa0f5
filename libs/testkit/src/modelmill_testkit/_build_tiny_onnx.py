"""Child of `modelmill_testkit.models.make_tiny_onnx`: `python -m modelmill_testkit._build_tiny_onnx
IN OUT PRECISION`."""

import os
import shutil
import sys
from pathlib import Path

from modelmill_service_kit.large_imports import large_import


def build(source: Path, folder: Path, precision: str) -> None:
    """Export to ONNX, with hidden states as results, and config.json beside it.

    Raises:
        FileNotFoundError: `source` is no model folder; said before the slow imports.
    """
    if not (source / "config.json").is_file():
        raise FileNotFoundError(f"no config.json in {source}")
    os.environ |= {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    with large_import("bitsandbytes"):
        from onnxruntime_genai.models import builder

    given = (None, str(source), str(folder), precision, "cpu", str(folder / "cache"))
    wanted = ["include_hidden_states=true", "windowed_kv_cache=false"]
    builder.create_model(*given, **builder.parse_extra_options(*given, wanted))
    for name in ("config.json", "generation_config.json"):
        shutil.copyfile(source / name, folder / name)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
