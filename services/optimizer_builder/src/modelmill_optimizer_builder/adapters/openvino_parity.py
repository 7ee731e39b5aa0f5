"""Compares the logits of an IR with those of the torch model it was exported from."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from modelmill_optimizer_builder.adapters.merged_model import Logits
from modelmill_optimizer_builder.adapters.stateful_model import StatefulModel
from modelmill_optimizer_builder.domain.parity import LogitDistance

EXACT = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    "KV_CACHE_PRECISION": "f32",
}
"""Options for float32. By default OpenVINO rounds intermediates, by more than the tolerance."""


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


def logit_distances(
    path: Path, prompt: Sequence[int], tokens: Sequence[int], expected: Sequence[Logits]
) -> list[LogitDistance]:
    """Run prefill and decode steps, as an engine does, and compare the logits of each step.

    Args:
        tokens: Tokens after the prompt; the last is not fed.
        expected: Logits that each of `tokens` was chosen from.
    """
    model = StatefulModel(path, EXACT)
    model.reset()
    distances = []
    read, seen = list(prompt), 0
    for step, wanted in enumerate(expected):
        difference = _next_logits(model, read, seen) - wanted
        distances.append(
            LogitDistance(
                where="decode" if step else "prefill",
                largest=float(np.abs(difference).max()),
                root_mean_square=float(np.sqrt(np.mean(difference**2))),
                spread=float(wanted.std()),
            )
        )
        seen += len(read)
        read = [tokens[step]]
    return distances
