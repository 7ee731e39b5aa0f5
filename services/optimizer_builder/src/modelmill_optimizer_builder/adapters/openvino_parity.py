"""Compares the logits of an IR with those of the torch model it was exported from."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from modelmill_optimizer_builder.adapters.merged_model import Logits
from modelmill_optimizer_builder.adapters.prepared_source import LogitProbe
from modelmill_optimizer_builder.domain.parity import LogitDistance

Ids = NDArray[np.int64]
State = list[ov.Tensor]
EXACT = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    "KV_CACHE_PRECISION": "f32",
}
"""Options for float32. By default OpenVINO rounds intermediates, by more than the tolerance."""


class StatefulModel:
    """A batch of sequences whose KV cache is inside the compiled model.

    The output projection is the largest layer and its output by far the largest tensor, so hidden
    states are selected before it.

    Args:
        options: OpenVINO options; they override those in the IR.
    """

    def __init__(self, path: Path, options: Mapping[str, str] | None = None) -> None:
        core = ov.Core()
        model = core.read_model(path)
        _pick_before_projection(model)
        self._request = core.compile_model(model, "CPU", dict(options or {})).create_infer_request()

    def reset(self) -> None:
        """Clear the KV cache."""
        self._request.reset_state()

    def save_state(self) -> State:
        """Copy of the KV cache."""
        return [ov.Tensor(np.array(s.state.data)) for s in self._request.query_state()]

    def restore_state(self, state: State) -> None:
        """Restore a saved KV cache."""
        self._request.reset_state()
        for variable, remembered in zip(self._request.query_state(), state, strict=True):
            variable.state = remembered

    def run(
        self, ids: Ids, *, mask: Ids, positions: Ids, parents: Sequence[int], pick: Ids
    ) -> NDArray[np.float32]:
        """Run tokens and return logits [batch, picks, vocabulary], valid until the next call.

        Args:
            ids: [batch, new tokens].
            mask: [batch, cached and new tokens]; 0 hides a token.
            positions: [batch, new tokens], position ids of the rotary embedding.
            parents: For each sequence, the index in the last call that it continues.
            pick: [batch, picks], indexes into the new tokens.
        """
        outputs = self._request.infer(
            {
                "input_ids": ids,
                "attention_mask": mask,
                "position_ids": positions,
                "beam_idx": np.asarray(parents, dtype=np.int32),
                "picked": pick,
            },
            share_outputs=True,
        )
        logits: NDArray[np.float32] = outputs["logits"]
        return logits


def _pick_before_projection(model: Any) -> None:
    """Add an input `picked` [batch, picks] and project only those hidden states."""
    node = model.output("logits").get_node().input_value(0).get_node()
    # Some architectures scale or cap logits; that is elementwise and may follow the selection.
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    picked = ops.parameter([-1, -1], np.int64, name="picked")
    picked.output(0).set_names({"picked"})
    hidden = ops.gather(node.input_value(0), picked, ops.constant(np.int64(1)), batch_dims=1)
    node.input(0).replace_source_output(hidden.output(0))
    model.add_parameters([picked])
    model.validate_nodes_and_infer_types()


def served_logits(
    path: Path, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> Iterator[Logits]:
    """(P, V) logits after each prompt and along its continuation, with the precision of serving.

    Prefill, then one token per step, as an engine does, so that rounded keys and values are read
    back from the cache.
    """
    model = StatefulModel(path)
    for prompt, continuation in zip(prompts, continuations, strict=True):
        model.reset()
        rows, seen, read = [], 0, list(prompt)
        for token in continuation:
            rows.append(_next_logits(model, read, seen).copy())
            seen += len(read)
            read = [token]
        yield np.stack(rows)


def _next_logits(model: StatefulModel, read: Sequence[int], seen: int) -> Logits:
    """Logits after appending some tokens; valid until the next call."""
    row: Logits = model.run(
        np.array([read]),
        mask=np.ones((1, seen + len(read)), np.int64),
        positions=np.arange(seen, seen + len(read))[None],
        parents=[0],
        pick=np.array([[len(read) - 1]]),
    )[0, 0]
    return row


def logit_distances(path: Path, probe: LogitProbe) -> list[LogitDistance]:
    """Run prefill and decode steps, as an engine does, and compare the logits of each step."""
    model = StatefulModel(path, EXACT)
    model.reset()
    found = []
    read, seen = probe.prompt, 0
    for token in probe.tokens:
        found.append(_next_logits(model, read, seen).copy())
        seen += len(read)
        read = [token]
    return probe.distances(found)
