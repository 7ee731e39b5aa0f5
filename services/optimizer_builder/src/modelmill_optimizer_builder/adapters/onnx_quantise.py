"""Quantizes the weights of an ONNX model in blocks, by ONNX Runtime's own quantizers."""

import logging
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import (
    KQuantWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)

from modelmill_optimizer_builder.adapters.onnx_export import EMBEDDING, WEIGHTS_FILE

INT8_ACTIVATIONS = 4
"""Accuracy level of the products: activations are rounded to int8, which makes them fast."""
HEAD = "/lm_head/MatMul"
SENSITIVE = ("/attn/qkv_proj/MatMul", "/attn/v_proj/MatMul", "/mlp/down_proj/MatMul")
CONTRIBUTED = "com.microsoft"
TALKATIVE = ("onnxruntime", "neural_compressor")
"""Loggers of the quantizers, which say a line per tensor."""
SMALLEST_EXTERNAL = 1024
"""Bytes of a constant that is kept beside the graph."""
HIGHEST = 127
MIDDLE = 128
_LAYER = re.compile(r"/model/layers\.(\d+)/")


def quantise_int8(source: Path, target: Path, block_size: int) -> None:
    """Write a float32 model with int8 weights, symmetric in blocks."""
    model = onnx.load(str(source))
    quantizer = MatMulNBitsQuantizer(
        model,
        bits=8,
        block_size=block_size,
        is_symmetric=True,
        accuracy_level=INT8_ACTIVATIONS,
    )
    _quantise(quantizer, target, block_size)


def quantise_int4(source: Path, target: Path, block_size: int) -> None:
    """Write a float32 model with int4 weights by k-quant, the most sensitive ones int8.

    By rounding alone, SmolLM2-135M degenerates.
    """
    model = onnx.load(str(source))
    names = [node.name for node in model.graph.node if node.op_type == "MatMul"]
    quantizer = MatMulNBitsQuantizer(
        model,
        bits=4,
        block_size=block_size,
        is_symmetric=False,
        accuracy_level=INT8_ACTIVATIONS,
        algo_config=KQuantWeightOnlyQuantConfig(
            customized_weight_config={name: {"bits": 8} for name in sensitive_layers(names)}
        ),
    )
    _quantise(quantizer, target, block_size)


def sensitive_layers(names: list[str]) -> list[str]:
    """Names of the output projection, and of values and down projections in half of the layers.

    To these layers llama.cpp's mixtures give more bits: the first and last eighth, and every third
    between.
    """
    numbers = [int(found[1]) for name in names if (found := _LAYER.match(name))]
    count = max(numbers, default=-1) + 1
    chosen = [
        number
        for number in range(count)
        if number < count / 8 or number >= 7 * count / 8 or (number - round(count / 8)) % 3 == 2
    ]
    kept = {f"/model/layers.{number}{end}" for number in chosen for end in SENSITIVE}
    return [name for name in names if name == HEAD or name in kept]


def _quantise(quantizer: Any, target: Path, block_size: int) -> None:
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    with redirect_stdout(StringIO()):
        quantizer.process()
    model = quantizer.model.model
    _quantise_embedding(model.graph, block_size)
    _drop_unused(model.graph)
    onnx.save_model(
        model,
        str(target),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=WEIGHTS_FILE,
        size_threshold=SMALLEST_EXTERNAL,
    )


def _quantise_embedding(graph: GraphProto, block_size: int) -> None:
    """Read the embedding from int8 blocks: those of the output projection where it is tied."""
    [gather] = [node for node in graph.node if node.name == EMBEDDING]
    constants = {constant.name: constant for constant in graph.initializer}
    if gather.input[0] in constants:
        blocks = _embedding_blocks(constants[gather.input[0]], block_size)
        graph.initializer.extend(blocks)
        nodes: list[NodeProto] = []
        inputs = [block.name for block in blocks]
    else:
        nodes, inputs = _tied_blocks(graph)
    data, *scales = inputs
    nodes.append(
        helper.make_node(
            "GatherBlockQuantized",
            inputs=[data, gather.input[1], *scales],
            outputs=list(gather.output),
            name=f"{gather.name}_Q8",
            domain=CONTRIBUTED,
            bits=8,
            block_size=block_size,
            gather_axis=0,
            quantize_axis=1,
        )
    )
    place = list(graph.node).index(gather)
    graph.node.remove(gather)
    for node in reversed(nodes):
        graph.node.insert(place, node)


def _tied_blocks(graph: GraphProto) -> tuple[list[NodeProto], list[str]]:
    """Nodes and names of the output projection's weights as rows, their scales and zero points."""
    [head] = [node for node in graph.node if node.name.startswith(HEAD)]
    weights, *scales = list(head.input)[1:]
    rows = numpy_helper.from_array(np.array([0, -1], np.int64), f"{EMBEDDING}/shape")
    graph.initializer.append(rows)
    reshape = helper.make_node(
        "Reshape", [weights, rows.name], [f"{EMBEDDING}/rows"], name=f"{EMBEDDING}/Reshape"
    )
    return [reshape], [f"{EMBEDDING}/rows", *scales]


def _embedding_blocks(constant: TensorProto, block_size: int) -> list[TensorProto]:
    """An embedding as int8 codes, with 128 for 0, and the scale of each block."""
    weights: NDArray[np.float32] = numpy_helper.to_array(constant)
    count, width = weights.shape
    blocks = weights.reshape(count, width // block_size, block_size)
    scales = np.abs(blocks).max(axis=2) / HIGHEST
    scales[scales == 0] = 1
    codes = np.rint(blocks / scales[:, :, None]) + MIDDLE
    return [
        numpy_helper.from_array(
            codes.astype(np.uint8).reshape(count, width), f"{constant.name}_Q8"
        ),
        numpy_helper.from_array(scales.astype(np.float32), f"{constant.name}_scales"),
    ]


def _drop_unused(graph: GraphProto) -> None:
    """Remove nodes that nothing reads, and then constants."""
    results = {value.name for value in graph.output}
    while True:
        read = results | {name for node in graph.node for name in node.input}
        unused = [node for node in graph.node if not read.intersection(node.output)]
        if not unused:
            break
        for node in unused:
            graph.node.remove(node)
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in read:
            del graph.initializer[place]
