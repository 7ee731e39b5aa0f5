"""Checks a graph of standard operators, and runs it with ONNX Runtime on the CPU.

ONNX Runtime has few bf16 operators there. So its copy of the graph has every bf16 tensor as
float32, in which each bf16 number is exact: it proves operators, shapes and weights, and not how
products are rounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnx_ir
import onnxruntime
from modelmill_evaluation.choices import ChoiceQuestion
from numpy.typing import NDArray

from modelmill_optimizer_builder.adapters.choice_search import log_softmax, token_likelihoods
from modelmill_optimizer_builder.adapters.merged_model import Logits
from modelmill_optimizer_builder.adapters.standard_onnx import MODEL_FILE, WEIGHTS_FILE
from modelmill_optimizer_builder.domain.build_plan import NotExportableError
from modelmill_optimizer_builder.domain.tensorrt_plan import Graph

STANDARD = ("", "ai.onnx")
"""The domain of ONNX's own operators, in both of its names."""
BF16, FLOAT = onnx_ir.DataType.BFLOAT16, onnx_ir.DataType.FLOAT

Cache = Mapping[str, Any]


def check_graph(path: Path) -> None:
    """Accept a valid graph of standard operators alone.

    Raises:
        NotExportableError: It is not; the message names what it has.
    """
    model = onnx.load(str(path), load_external_data=False)
    nodes = [*model.graph.node, *(node for each in model.functions for node in each.node)]
    others = sorted({f"{it.domain}.{it.op_type}" for it in nodes if it.domain not in STANDARD})
    if others:
        raise NotExportableError(
            f"the exported graph has operators that are not ONNX's own: {', '.join(others)}"
        )
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise NotExportableError(f"the exported graph is not valid: {str(error)[:300]}") from error


def graph_inputs(path: Path) -> Graph:
    """Inputs of a graph by name, with the sizes and names of their dimensions."""
    model = onnx.load(str(path), load_external_data=False)
    return {
        each.name: [
            size.dim_param if size.HasField("dim_param") else int(size.dim_value)
            for size in each.type.tensor_type.shape.dim
        ]
        for each in model.graph.input
    }


def widen(path: Path, folder: Path) -> Path:
    """Write a copy of a graph in which every bf16 tensor is float32; returns its file."""
    folder.mkdir(parents=True)
    model = onnx_ir.load(path)
    for value in (*model.graph.inputs, *model.graph.outputs):
        _widen_value(value)
    for value in model.graph.initializers.values():
        _widen_value(value)
        if value.const_value is not None:
            value.const_value = _widened(value.const_value)
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        for value in node.outputs:
            _widen_value(value)
        for name, attribute in node.attributes.items():
            if name in ("to", "dtype") and attribute.value == BF16.value:
                node.attributes[name] = onnx_ir.AttrInt64(name, FLOAT.value)
            elif isinstance(attribute.value, onnx_ir.TensorProtocol):
                node.attributes[name] = onnx_ir.AttrTensor(name, _widened(attribute.value))
    onnx_ir.save(model, folder / MODEL_FILE, external_data=WEIGHTS_FILE)
    return folder / MODEL_FILE


def _widen_value(value: Any) -> None:
    if value.dtype == BF16:
        value.dtype = FLOAT


def _widened(tensor: Any) -> Any:
    if tensor.dtype != BF16:
        return tensor
    return onnx_ir.Tensor(tensor.numpy().astype(np.float32), name=tensor.name)


class CachedReader(Protocol):
    """Runs steps of one text with a cache as inputs and outputs."""

    def step(self, tokens: Sequence[int], cache: Cache | None) -> tuple[Logits, Cache]:
        """(T, V) logits of new tokens, and the cache with them; None is an empty one."""


class OnnxRuntimeReader:
    """Such a graph, in float32."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._empty = {
            it.name: np.zeros((1, it.shape[1], 0, it.shape[3]), np.float32)
            for it in self._session.get_inputs()
            if it.name.startswith("past_key_values.")
        }
        self._outputs = [it.name for it in self._session.get_outputs()]

    def step(self, tokens: Sequence[int], cache: Cache | None) -> tuple[Logits, Cache]:
        past = dict(cache or self._empty)
        length = next(iter(past.values())).shape[2]
        fed = step_inputs(tokens, length)
        found = dict(zip(self._outputs, self._session.run(None, fed | past), strict=True))
        logits: Logits = found.pop("logits")[0]
        return logits, {name.replace("present", "past_key_values"): found[name] for name in found}


def step_inputs(tokens: Sequence[int], past: int) -> dict[str, NDArray[np.int64]]:
    """Inputs of a step besides the cache, which holds `past` tokens."""
    total = past + len(tokens)
    return {
        "input_ids": np.array([tokens], np.int64),
        "attention_mask": np.ones((1, total), np.int64),
        "position_ids": np.arange(past, total, dtype=np.int64)[None],
    }


def cached_steps(reader: CachedReader, prompt: Sequence[int], tokens: Sequence[int]) -> Logits:
    """(P, V) logits after a prompt and along the tokens that follow it, one token a step."""
    logits, cache = reader.step(prompt, None)
    rows = [logits[-1]]
    for token in tokens[:-1]:
        logits, cache = reader.step([token], cache)
        rows.append(logits[-1])
    return np.stack(rows)


def cached_logits(
    reader: CachedReader, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> Iterator[Logits]:
    """The same of each prompt and its continuation."""
    for prompt, continuation in zip(prompts, continuations, strict=True):
        yield cached_steps(reader, prompt, continuation)


def cached_scores(
    reader: CachedReader, questions: Sequence[ChoiceQuestion]
) -> Iterator[Sequence[float]]:
    """Summed log-likelihoods of the choices of each question, in order."""
    for question in questions:
        first, cache = reader.step(question.prompt_ids, None)
        found = []
        for choice in question.choices:
            likely = log_softmax(first[-1:])[0, choice[0]]
            if len(choice) > 1:
                rows = log_softmax(reader.step(choice[:-1], cache)[0])
                likely += rows[np.arange(len(choice) - 1), choice[1:]].sum()
            found.append(float(likely))
        yield found


def cached_likelihoods(
    reader: CachedReader, texts: Sequence[Sequence[int]]
) -> Iterator[list[float]]:
    """Log-likelihood of each token of each text after its first."""
    for text in texts:
        yield token_likelihoods(reader.step(text[:-1], None)[0], text[1:])
