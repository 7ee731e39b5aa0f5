"""The model of an OpenVINO build as transformers computes it, with the build's rounded weights."""

from pathlib import Path

import numpy as np
import torch
from openvino import Core
from transformers import AutoModelForCausalLM, PreTrainedModel

_ROUNDED = "._openvino_orig_weight"


def load_in_transformers(build: Path, source: Path) -> PreTrainedModel:
    """In single precision; `source` is the folder that the build was made of."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    weights = {name: torch.from_numpy(values) for name, values in _weights(build).items()}
    missing, unknown = model.load_state_dict(weights, strict=False)
    assert not unknown
    assert all("norm" in name or name == "lm_head.weight" for name in missing)
    return model.eval()


def _weights(build: Path) -> dict[str, np.ndarray]:
    model = Core().read_model(build / "openvino_model.xml")
    constants = {
        op.get_friendly_name(): op.data
        for op in model.get_ops()
        if op.get_type_name() == "Constant"
    }
    # In single precision, as the engine does it: the graph's own half-precision nodes, computed one
    # by one, round the products.
    return {
        name.removeprefix("self.").removesuffix(_ROUNDED) + ".weight": (
            values.astype(np.float32) - constants[f"{name}/zero_point"]
        )
        * constants[f"{name}/scale"].astype(np.float32)
        for name, values in constants.items()
        if name.endswith(_ROUNDED)
    }
