"""Weights to 8 bits: symmetric, one scale for each output channel, no calibration.

The same numbers as NNCF's INT8_SYM, which a test compares. NNCF takes eight seconds for what takes
one here (it compiles a small model for each weight) and imports 280 MB.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

LOWEST, HIGHEST = -128, 127
DYNAMIC_QUANTISATION_GROUP = 2**31 - 1
"""Activations get one scale a token: faster than OpenVINO's default of one for 32 values."""

_FLOATS = (ov.Type.bf16, ov.Type.f16, ov.Type.f32)


def quantise_weights(source: Path, target: Path) -> None:
    """Read an IR with float weights and write it with 8-bit ones; `.bin` files lie beside both."""
    model = ov.Core().read_model(source)
    for node in model.get_ordered_ops():
        if _is_weight(node):
            _replace(node, _dequantised(node))
    model.validate_nodes_and_infer_types()
    model.set_rt_info(
        str(DYNAMIC_QUANTISATION_GROUP), ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"]
    )
    ov.save_model(model, target, compress_to_fp16=False)


def _is_weight(node: Any) -> bool:
    """Whether a node is the matrix of a linear layer or of an embedding."""
    if node.get_type_name() != "Constant" or node.get_element_type() not in _FLOATS:
        return False
    if len(node.shape) != 2:
        return False
    return any(
        (user.get_type_name(), port) in (("MatMul", 1), ("Gather", 0)) for user, port in _uses(node)
    )


def _uses(node: Any) -> list[tuple[Any, int]]:
    """Who reads a constant, on which input, seen through conversions to another float type."""
    uses = []
    for reader in node.output(0).get_target_inputs():
        user = reader.get_node()
        if user.get_type_name() == "Convert":
            uses += _uses(user)
        else:
            uses.append((user, reader.get_index()))
    return uses


def _dequantised(node: Any) -> Any:
    """The weight as int8 times scale, in the pattern that OpenVINO computes without unpacking."""
    name = node.get_friendly_name()
    weight = node.get_data(dtype=np.float32)
    low, high = weight.min(axis=1, keepdims=True), weight.max(axis=1, keepdims=True)
    # The sign of the scale gives the larger side the one level that the other side lacks.
    furthest = np.where(-low >= high, low, high)
    scale = np.where(furthest == 0, 1, furthest / LOWEST).astype(np.float32)
    quantised = np.clip(np.rint(weight / scale), LOWEST, HIGHEST).astype(np.int8)
    constant = ops.constant(quantised, name=name)
    product = ops.multiply(
        ops.convert(constant, "f16"),
        ops.constant(scale.astype(np.float16), name=f"{name}/scale"),
        name=f"{name}/fq_weights_1",
    )
    return ops.convert(product, "f32")


def _replace(node: Any, replacement: Any) -> None:
    """Hand the replacement to every reader, also those behind a conversion to float."""
    for reader in node.output(0).get_target_inputs():
        if reader.get_node().get_type_name() == "Convert":
            _replace(reader.get_node(), replacement)
        else:
            reader.replace_source_output(replacement.output(0))
