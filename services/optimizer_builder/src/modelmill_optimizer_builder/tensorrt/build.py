# SPDX-License-Identifier: Apache-2.0
"""Builds the engine that tensorrt_plan.json describes: `python build.py`, in the plan's folder.

Needs a GPU of NVIDIA (Ampere or later) with its driver, and the Python module `tensorrt` (10 or
later). An engine runs on the kind of GPU, and in the version of TensorRT, that it was built with.
Modelmill copies this file beside every plan.
"""

import ctypes
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PLAN = "tensorrt_plan.json"
DRIVER = "libcuda.so.1"


class EngineNotBuiltError(Exception):
    """TensorRT built no engine; the message says why."""


def missing_for_engines() -> list[str]:
    """What this machine lacks to build engines."""
    lacking = []
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        lacking.append(f"no NVIDIA driver ({DRIVER})")
    if find_spec("tensorrt") is None:
        lacking.append("no Python module tensorrt")
    return lacking


def build(folder: Path) -> Path:
    """Build the engine of the plan in a folder; returns its file.

    Raises:
        ImportError: `tensorrt` is a package without the library.
        EngineNotBuiltError: TensorRT cannot read the graph, or finds no kernels for it.
    """
    import tensorrt as trt

    plan: dict[str, Any] = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    logger: Any = trt.Logger(trt.Logger.WARNING)
    builder: Any = trt.Builder(logger)
    # From 11 on every network is strongly typed, and the flag means nothing.
    typed = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    network = builder.create_network(1 << int(typed))
    parser: Any = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(folder / plan["onnx"])):
        said = [parser.get_error(number).desc() for number in range(parser.num_errors)]
        raise EngineNotBuiltError(f"TensorRT cannot read {plan['onnx']}: {'; '.join(said)[:500]}")
    config: Any = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, plan["workspace_bytes"])
    for each in plan["profiles"]:
        profile = builder.create_optimization_profile()
        for name, shape in each["shapes"].items():
            profile.set_shape(name, shape["min"], shape["opt"], shape["max"])
        config.add_optimization_profile(profile)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise EngineNotBuiltError("TensorRT built no engine. Its log says why")
    engine = folder / str(plan["engine"])
    partial = engine.with_suffix(".part")
    partial.write_bytes(built)
    partial.rename(engine)
    return engine


def main() -> int:
    """Build, or say what is missing."""
    if lacking := missing_for_engines():
        print(f"no engine can be built here: {', '.join(lacking)}", file=sys.stderr)
        return 2
    try:
        print(build(Path(__file__).resolve().parent))
    except (EngineNotBuiltError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
