"""The target form openvino-int8: OpenVINO IR with int8 weights, for CPUs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from modelmill_optimizer_builder.adapters.openvino_build import OpenVinoBuilder
from modelmill_optimizer_builder.adapters.prepared_source import WeightForm
from modelmill_optimizer_builder.domain.parity import INT8_LIMIT, QUANTISED_TOLERANCE
from modelmill_optimizer_builder.make_build import FormRequest

LOWEST, HIGHEST = -128, 127
DYNAMIC_QUANTISATION_GROUP = 2**31 - 1
"""One activation scale per token: faster than OpenVINO's default of one per 32 values."""

_FLOATS = (ov.Type.bf16, ov.Type.f16, ov.Type.f32)


class OpenVinoInt8(OpenVinoBuilder):
    """int8 weights, one symmetric scale per output channel."""

    form = WeightForm("openvino-int8", "int8", INT8_LIMIT, QUANTISED_TOLERANCE)

    def compress(
        self, source: Path, target: Path, merged: Path, request: FormRequest
    ) -> Mapping[str, Any]:
        quantise_weights(source, target)
        return {"weights": "int8, symmetric, one scale per output channel", "ratio": 1.0}


def quantise_weights(source: Path, target: Path) -> None:
    """Quantize an IR from float to int8 weights; each has its `.bin` file next to it."""
    model = ov.Core().read_model(source)
    for node in model.get_ordered_ops():
        if _is_weight(node):
            _replace(node, _dequantised(node.get_friendly_name(), *_quantised(node)))
        elif _is_stack_of_columns(node):
            _quantise_columns(node)
        elif _is_gathered_stack(node):
            _quantise_gathered(node)
    model.validate_nodes_and_infer_types()
    model.set_rt_info(
        str(DYNAMIC_QUANTISATION_GROUP), ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"]
    )
    ov.save_model(model, target, compress_to_fp16=False)


def _is_weight(node: Any) -> bool:
    """Whether a node has the weights of a linear layer, of all experts of one, or an embedding."""
    if not _is_float_constant(node):
        return False
    uses = _uses(node)
    if len(node.shape) == 3:
        # Stacked experts: a scale per output channel needs the inputs on the last axis.
        return all(_is_product(user, port, by_rows=True) for user, port in uses)
    return len(node.shape) == 2 and any(
        (user.get_type_name(), port) in (("MatMul", 1), ("Gather", 0)) for user, port in uses
    )


def _is_stack_of_columns(node: Any) -> bool:
    """Whether a node has stacked experts with the outputs on the last axis, as those of gpt-oss."""
    return (
        _is_float_constant(node)
        and len(node.shape) == 3
        and all(_is_product(user, port, by_rows=False) for user, port in _uses(node))
    )


def _is_gathered_stack(node: Any) -> bool:
    """Whether a node has stacked experts, from which those of each token are gathered."""
    return (
        _is_float_constant(node)
        and len(node.shape) == 3
        and all((user.get_type_name(), port) == ("Gather", 0) for user, port in _uses(node))
    )


def _is_float_constant(node: Any) -> bool:
    return node.get_type_name() == "Constant" and node.get_element_type() in _FLOATS


def _is_product(user: Any, port: int, *, by_rows: bool) -> bool:
    is_matmul = user.get_type_name() == "MatMul" and port == 1
    return is_matmul and user.get_attributes()["transpose_b"] == by_rows


def _uses(node: Any) -> list[tuple[Any, int]]:
    """Consumers of a constant and their input ports, looking through float conversions."""
    uses = []
    for reader in node.output(0).get_target_inputs():
        user = reader.get_node()
        if user.get_type_name() == "Convert":
            uses += _uses(user)
        else:
            uses.append((user, reader.get_index()))
    return uses


def _quantised(node: Any, *, turned: bool = False) -> tuple[Any, Any]:
    """Constants of a weight: int8, and the scale of each output channel.

    Args:
        turned: Outputs are on the last axis, and shall be on the one before.
    """
    name = node.get_friendly_name()
    weight = node.get_data(dtype=np.float32)
    if turned:
        weight = weight.swapaxes(-1, -2)
    low, high = weight.min(axis=-1, keepdims=True), weight.max(axis=-1, keepdims=True)
    # int8 has one more negative level; the sign of the scale gives it to the larger side.
    furthest = np.where(-low >= high, low, high)
    scale = np.where(furthest == 0, 1, furthest / LOWEST).astype(np.float32)
    quantised = np.clip(np.rint(weight / scale), LOWEST, HIGHEST).astype(np.int8)
    return (
        ops.constant(quantised, name=name),
        ops.constant(scale.astype(np.float16), name=f"{name}/scale"),
    )


def _dequantised(name: str, quantised: Any, scale: Any) -> Any:
    """int8 times scale, in the pattern that OpenVINO runs without dequantizing."""
    product = ops.multiply(ops.convert(quantised, "f16"), scale, name=f"{name}/fq_weights_1")
    return ops.convert(product, "f32")


def _quantise_columns(node: Any) -> None:
    """Multiply by the rows of int8 experts, whose inputs are then on the last axis."""
    rows = _dequantised(node.get_friendly_name(), *_quantised(node, turned=True))
    for user, _ in _uses(node):
        turns_inputs = user.get_attributes()["transpose_a"]
        _replace(user, ops.matmul(user.input_value(0), rows, turns_inputs, True))


def _quantise_gathered(node: Any) -> None:
    """Gather int8 experts and their scales, so that only what a token needs is dequantised."""
    quantised, scale = _quantised(node)
    for user, _ in _uses(node):
        indices, axis = user.input_value(1), user.input_value(2)
        chosen = (ops.gather(constant, indices, axis) for constant in (quantised, scale))
        _replace(user, _dequantised(user.get_friendly_name(), *chosen))


def _replace(node: Any, replacement: Any) -> None:
    """Connect every consumer to the replacement, also those behind a float conversion."""
    for reader in node.output(0).get_target_inputs():
        if reader.get_node().get_type_name() == "Convert":
            _replace(reader.get_node(), replacement)
        else:
            reader.replace_source_output(replacement.output(0))
