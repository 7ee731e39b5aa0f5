"""The model of an OpenVINO build as transformers computes it, with the build's rounded weights."""

from pathlib import Path

import numpy as np
import torch
from openvino import Core, Model, Node, compile_model
from transformers import AutoModelForCausalLM, PreTrainedModel

_ROUNDED = "._openvino_orig_weight/fq_weights_"


def load_in_transformers(build: Path, source: Path) -> PreTrainedModel:
    """In single precision; `source` is the folder that the build was made of."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    weights = {
        name.removeprefix("self."): torch.from_numpy(_value(node))
        for name, node in _rounded_weights(build).items()
    }
    missing, unknown = model.load_state_dict(weights, strict=False)
    assert not unknown
    assert all("norm" in name or name == "lm_head.weight" for name in missing)
    return model.eval()


def _rounded_weights(build: Path) -> dict[str, Node]:
    model = Core().read_model(build / "openvino_model.xml")
    nodes = {op.get_friendly_name(): op for op in model.get_ops()}
    return {
        name.partition(_ROUNDED)[0] + ".weight": node
        for name, node in nodes.items()
        if _ROUNDED in name
    }


def _value(node: Node) -> np.ndarray:
    """What a node that depends on no input comes to."""
    compiled = compile_model(Model([node], []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    value: np.ndarray = compiled([])[0].astype(np.float32)
    return value
