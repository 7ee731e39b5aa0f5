"""A language model IR run step by step, giving logits only where they are asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

Ids = NDArray[np.int64]
State = list[ov.Tensor]


class StatefulModel:
    """One sequence, or a batch of them, with its key/value cache inside the compiled model.

    The projection to the vocabulary is the largest layer and its output by far the largest tensor,
    so the hidden states are picked before it.

    Args:
        options: Of OpenVINO; those the IR carries apply beneath them.
    """

    def __init__(self, path: Path, options: Mapping[str, str] | None = None) -> None:
        core = ov.Core()
        model = core.read_model(path)
        _pick_before_projection(model)
        self._request = core.compile_model(model, "CPU", dict(options or {})).create_infer_request()

    def reset(self) -> None:
        """Forget all tokens."""
        self._request.reset_state()

    def save_state(self) -> State:
        """What the model remembers now; a copy."""
        return [ov.Tensor(np.array(s.state.data)) for s in self._request.query_state()]

    def restore_state(self, state: State) -> None:
        """Remember that again."""
        self._request.reset_state()
        for variable, remembered in zip(self._request.query_state(), state, strict=True):
            variable.state = remembered

    def run(
        self, ids: Ids, *, mask: Ids, positions: Ids, parents: Sequence[int], pick: Ids
    ) -> NDArray[np.float32]:
        """Read tokens and return logits [batch, picks, vocabulary], valid until the next call.

        Args:
            ids: [batch, new tokens].
            mask: [batch, remembered and new tokens]; 0 hides a token.
            positions: [batch, new tokens], as the rotary embedding counts.
            parents: For each sequence the one of the last call that it goes on from.
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
    """Add an input `picked` [batch, picks] and project only the hidden states it names."""
    node = model.output("logits").get_node().input_value(0).get_node()
    # Some architectures scale or cap their logits; that is elementwise and may stay behind.
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    picked = ops.parameter([-1, -1], np.int64, name="picked")
    picked.output(0).set_names({"picked"})
    hidden = ops.gather(node.input_value(0), picked, ops.constant(np.int64(1)), batch_dims=1)
    node.input(0).replace_source_output(hidden.output(0))
    model.add_parameters([picked])
    model.validate_nodes_and_infer_types()
