"""Merges the source of a build, and verifies it beside the goldens of training (torch)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from modelmill_evaluation.parity.comparison import Likeness, check_likeness, compare
from modelmill_evaluation.parity.goldens import Goldens, Logits
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck
from modelmill_optimizer_builder.adapters.head_check import check_module_head
from modelmill_optimizer_builder.adapters.merge_check import check_merge
from modelmill_optimizer_builder.adapters.merged_model import MergedModel, round_weights
from modelmill_optimizer_builder.domain.parity import EXACT_LIMIT, ROUNDED_LIMIT
from modelmill_optimizer_builder.make_build import Source

Ids = Sequence[int]


class MergedModelGenerator:
    """Computes in float32, so that its logits differ only by the merge and rounding."""

    def __init__(self, merged: MergedModel, end_ids: frozenset[int]) -> None:
        self._merged = merged
        self._end_ids = end_ids

    def continuations(self, prompts: Sequence[Ids], new_tokens: int) -> list[list[int]]:
        """See `modelmill_evaluation.parity.taking.AnswerGenerator`."""
        continuation = []
        for prompt in prompts:
            tokens, _ = self._merged.greedy_logits(prompt, new_tokens)
            ends = [place for place, token in enumerate(tokens, 1) if token in self._end_ids]
            continuation.append(tokens[: ends[0]] if ends else tokens)
        return continuation

    def logits(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> Iterator[Logits]:
        """See `modelmill_evaluation.parity.taking.AnswerGenerator`."""
        module = self._merged.module.float()
        rows = list(module_logits(module, prompts, continuations))
        round_weights(module)  # exact: every weight was a bf16 number before
        return iter(rows)


@torch.inference_mode()
def module_logits(
    module: Any, prompts: Sequence[Ids], continuations: Sequence[Ids]
) -> Iterator[Logits]:
    """(P, V) logits after each prompt and along its continuation, by a float32 module."""
    for prompt, continuation in zip(prompts, continuations, strict=True):
        ids = torch.tensor([[*prompt, *continuation[:-1]]])
        yield module(ids, use_cache=False, logits_to_keep=len(continuation)).logits[0].numpy()


def merge_source(source: Source) -> tuple[MergedModel, GoldenCheck]:
    """Merge base and adapter, and verify the result against the goldens of training.

    Raises:
        ParityError: LOGITS_DIFFER, GREEDY_DISAGREES, HEAD_CONTRADICTS or MERGE_DTYPE.
    """
    training_goldens = Goldens.read(source.trained)
    exact: list[Likeness] = []

    def inspect(module: Any) -> None:
        """Before rounding, a merge must reproduce the goldens exactly."""
        if training_goldens is None or not training_goldens.prompts:
            return
        rows = module_logits(module, *training_goldens.spoken)
        exact.append(compare(training_goldens, rows, form="merged, float32"))
        check_likeness(exact[0], EXACT_LIMIT)

    merged = MergedModel.load(source.base, source.adapter, inspect)
    check_module_head(merged.module, source.base)
    merge = None
    if source.adapter is not None:
        merge = check_merge(merged, source.base, source.adapter)
    generator = MergedModelGenerator(merged, BoundedTokenizer.load(source.tokenizer).eos_ids)
    goldens = GoldenCheck(source, generator, merged.context_tokens, merge, window=merged.window)
    if exact:
        goldens.likenesses += exact
        rows = generator.logits(*goldens.goldens.spoken)
        goldens.check_logits(rows, ROUNDED_LIMIT, form="merged, bfloat16 weights")
    return merged, goldens
