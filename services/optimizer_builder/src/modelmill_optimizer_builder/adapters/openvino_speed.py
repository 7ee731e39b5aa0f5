"""Measures tokens per second of an IR in the pipeline that serves it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai

from modelmill_optimizer_builder.adapters.speed_rounds import NEW_TOKENS

CACHE_GIB = 1


class OpenVinoSpeed:
    """A pipeline with an IR, as an engine of `speed_rounds.rates_by_round`."""

    def __init__(self, folder: Path) -> None:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = CACHE_GIB
        self._pipeline: Any = openvino_genai.ContinuousBatchingPipeline(
            str(folder), scheduler, "CPU", {}
        )

    def __call__(self, prompt: Sequence[int]) -> float:
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = NEW_TOKENS
        config.ignore_eos = True
        config.do_sample = False
        started = time.perf_counter()
        (result,) = self._pipeline.generate([ov.Tensor(np.array([prompt]))], [config])
        seconds = time.perf_counter() - started
        return len(result.m_generation_ids[0]) / seconds
