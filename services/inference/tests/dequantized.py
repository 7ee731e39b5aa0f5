"""The weights that an OpenVINO int8 build computes with, as a model for the reference engine."""

import shutil
from pathlib import Path

import numpy as np
from openvino import Core
from safetensors.numpy import load_file, save_file

_BUILT = "._openvino_orig_weight"


def dequantized(build: Path, source: Path, folder: Path) -> Path:
    """Write `source`, of which `build` was made, with the build's numbers for its weights.

    Returns:
        `folder`, which must not be there.
    """
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model = Core().read_model(build / "openvino_model.xml")
    constants = {
        op.get_friendly_name(): op.data for op in model.get_ops() if op.get_type_name() == "Constant"
    }
    weights = {
        name.removeprefix("self.").removesuffix(_BUILT) + ".weight": (
            values.astype(np.float32) - constants[f"{name}/zero_point"]
        )
        * constants[f"{name}/scale"].astype(np.float32)
        for name, values in constants.items()
        if name.endswith(_BUILT)
    }
    # What is not a matrix stays as it was: here norms, which are all 1.
    norms = {
        f"model.{where}.weight": np.ones(64, np.float32)
        for where in (
            "norm",
            *(
                f"layers.{layer}.{kind}_layernorm"
                for layer in range(2)
                for kind in ("input", "post_attention")
            ),
        )
    }
    save_file(weights | norms, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
