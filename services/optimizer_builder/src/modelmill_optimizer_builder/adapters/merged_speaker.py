"""The merged model beside goldens, and goldens of it where training left none (torch)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from modelmill_evaluation.parity.goldens import Logits

from modelmill_optimizer_builder.adapters.merged_model import MergedModel

Ids = Sequence[int]


class MergedSpeaker:
    """Computes in float32: what its logits differ by is what merging and rounding did."""

    def __init__(self, merged: MergedModel, end_ids: frozenset[int]) -> None:
        self._merged = merged
        self._end_ids = end_ids

    def continuations(self, prompts: Sequence[Ids], new_tokens: int) -> list[list[int]]:
        """See `modelmill_evaluation.parity.taking.Speaker`."""
        spoken = []
        for prompt in prompts:
            tokens, _ = self._merged.greedy_logits(prompt, new_tokens)
            ends = [place for place, token in enumerate(tokens, 1) if token in self._end_ids]
            spoken.append(tokens[: ends[0]] if ends else tokens)
        return spoken

    def logits(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> Iterator[Logits]:
        """See `modelmill_evaluation.parity.taking.Speaker`."""
        module = self._merged.module.float()
        rows = list(module_logits(module, prompts, continuations))
        module.to(torch.bfloat16)  # exact: every weight was a bf16 number before
        return iter(rows)


@torch.inference_mode()
def module_logits(
    module: Any, prompts: Sequence[Ids], continuations: Sequence[Ids]
) -> Iterator[Logits]:
    """(P, V) after each prompt and along its continuation, by a module in float32."""
    for prompt, spoken in zip(prompts, continuations, strict=True):
        ids = torch.tensor([[*prompt, *spoken[:-1]]])
        yield module(ids, use_cache=False, logits_to_keep=len(spoken)).logits[0].numpy()
