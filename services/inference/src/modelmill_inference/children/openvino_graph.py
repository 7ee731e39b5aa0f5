"""Rewrites the graph of an OpenVINO build for scoring and embedding."""

import math
import re
from pathlib import Path

import numpy as np
from openvino import Core, Model, Node, Output
from openvino import opset13 as ops

from modelmill_inference.children.lora_adapter import LoraAdapter

MODEL_FILE = "openvino_model.xml"
HIDDEN, LOGPROB, LIKELIEST = "hidden", "logprob", "likeliest"
"""Results: [row, token, size]; of the targets, [row, place]."""
PLACES, TARGETS = "places", "targets"
"""Inputs: [place], positions to predict from; [row, place], target tokens."""

_LINEAR = re.compile(r"__module\.(?P<module>.+)/\w+::linear/MatMul")
_LONG, _FLOAT = np.dtype(np.int64), np.dtype(np.float32)


def reading_model(folder: Path, adapter: LoraAdapter | None = None) -> Model:
    """The build with hidden states and target log-probabilities as outputs.

    Args:
        folder: folder of the build.
        adapter: applied to it.

    Raises:
        ValueError: the graph is not a causal language model.
    """
    model = Core().read_model(folder / MODEL_FILE)
    if adapter is not None:
        _apply_lora(model, adapter)
    head = _head(model)
    hidden = head.input_value(0)
    places = _named(ops.parameter([-1], _LONG), PLACES)
    targets = _named(ops.parameter([-1, -1], _LONG), TARGETS)
    # The output head is the largest layer with the largest output: compute it only where needed.
    wanted = ops.gather(hidden, places, ops.constant(1, _LONG))
    head.input(0).replace_source_output(wanted.output(0))
    logits = model.output(0).get_node().input_value(0)
    results = _likelihood(logits, targets) | {HIDDEN: ops.convert(hidden, _FLOAT)}
    for old in model.get_results():
        model.remove_result(old)
    model.add_parameters([places, targets])
    model.add_results([ops.result(_named(node, name)) for name, node in results.items()])
    model.validate_nodes_and_infer_types()
    return model


def vocabulary_of(folder: Path) -> int:
    """Vocabulary size of the build."""
    logits = Core().read_model(folder / MODEL_FILE).output(0)
    size: int = logits.partial_shape[-1].get_length()
    return size


def check_fits(folder: Path, adapter: LoraAdapter) -> None:
    """Reject an adapter of another model, which the pipeline would silently ignore.

    Raises:
        ValueError: module names or sizes differ.
    """
    modules = _modules(Core().read_model(folder / MODEL_FILE))
    for name, down in adapter.down.items():
        if name not in modules:
            raise ValueError(f"the adapter is for another model: this one has no {name}")
        sizes = (modules[name].input_value(0), modules[name].output(0))
        has = [output.partial_shape[-1].get_length() for output in sizes]
        if has != [down.shape[1], adapter.up[name].shape[0]]:
            raise ValueError(f"the adapter is for another model: {name} is of another size here")


def cache_bytes_per_token(model: Model) -> int:
    """Key-value cache per token in float32."""
    shapes = [
        op.output(0).partial_shape for op in model.get_ops() if op.get_type_name() == "ReadValue"
    ]
    return sum(
        4 * math.prod(side.get_length() for side in shape if side.is_static) for shape in shapes
    )


def _head(model: Model) -> Node:
    """The output head; only scales and caps follow it."""
    node: Node = model.output(0).get_node()
    while node.get_type_name() != "MatMul":
        if not node.inputs():
            raise ValueError("the model has no head that makes logits of hidden states")
        node = node.input_value(0).get_node()
    return node


def _modules(model: Model) -> dict[str, Node]:
    """Linear layers by their name before the export."""
    found = ((_LINEAR.fullmatch(op.get_friendly_name()), op) for op in model.get_ops())
    return {match["module"]: op for match, op in found if match}


def _apply_lora(model: Model, adapter: LoraAdapter) -> None:
    modules = _modules(model)
    for name, down in adapter.down.items():
        linear = modules[name].output(0)
        readers = list(linear.get_target_inputs())
        narrow = ops.matmul(modules[name].input_value(0), ops.constant(down), False, True)
        added = ops.matmul(narrow, ops.constant(adapter.up[name] * adapter.scale), False, True)
        changed = ops.add(linear, added)
        for reader in readers:
            reader.replace_source_output(changed.output(0))


def _likelihood(logits: Output, targets: Node) -> dict[str, Node]:
    last = ops.constant(-1, _LONG)
    # In float32, whatever the build computes in.
    logprobs = ops.log_softmax(ops.convert(logits, _FLOAT), -1)
    of_target = ops.gather_elements(logprobs, ops.unsqueeze(targets, last), -1)
    best = ops.reduce_max(logprobs, last, keep_dims=True)
    likeliest = ops.convert(ops.greater_equal(of_target, best), _FLOAT)
    return {LOGPROB: ops.squeeze(of_target, last), LIKELIEST: ops.squeeze(likeliest, last)}


def _named(node: Node, name: str) -> Node:
    node.output(0).get_tensor().set_names({name})
    return node
