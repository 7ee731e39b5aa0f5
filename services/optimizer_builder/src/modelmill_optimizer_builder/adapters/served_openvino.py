"""An IR in GenAI's continuous batching pipeline, as the openvino engine serves it."""

import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai

from modelmill_optimizer_builder.adapters.openvino_speed import CACHE_GIB
from modelmill_optimizer_builder.measure_load import OnStep

MOST_SEQUENCES = 64
"""Largest batch, as in the engine's settings; further requests wait."""


class OpenVinoServed:
    """One pipeline without a prefix cache: every prompt is new."""

    def __init__(self, folder: Path, _adapter: Path | None) -> None:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = CACHE_GIB
        scheduler.max_num_seqs = MOST_SEQUENCES
        scheduler.enable_prefix_caching = False
        self._pipeline: Any = openvino_genai.ContinuousBatchingPipeline(
            str(folder), scheduler, "CPU", {}
        )
        self._numbers = count()

    def answer(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, on_step: OnStep
    ) -> list[list[float]]:
        """See `modelmill_optimizer_builder.measure_load.ServedModel`."""
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = new_tokens
        config.ignore_eos = True
        config.do_sample = False
        handles: list[Any] = [
            self._pipeline.add_request(
                next(self._numbers), ov.Tensor(np.array([prompt], np.int64)), config
            )
            for prompt in prompts
        ]
        times: list[list[float]] = [[] for _ in handles]
        while self._pipeline.has_non_finished_requests():
            on_step()
            self._pipeline.step()
            now = time.perf_counter()
            for handle, own in zip(handles, times, strict=True):
                own += [now] * _tokens_of(handle)
        return times


def _tokens_of(handle: Any) -> int:
    """How many tokens have come since it was read last."""
    found = 0
    while handle.can_read():
        found += sum(len(output.generated_ids) for output in handle.read().values())
    return found
