"""Measures tokens per second of IRs in the pipeline that serves them."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import openvino as ov
import openvino_genai

NEW_TOKENS = 64
ROUNDS = 6
CACHE_GIB = 1
Name = TypeVar("Name", bound=str)


def tokens_per_second(
    folders: Mapping[Name, Path],
    prompts: Sequence[Sequence[int]],
    on_round: Callable[[int, int], None],
) -> dict[Name, list[float]]:
    """Tokens per second of each round and folder: one greedy request at a time, prefill included.

    The folders alternate within each round, so that other load on the machine affects all of them.
    The first round is a warm-up and not counted.

    Args:
        prompts: Token ids; one prompt per round.
        on_round: Called with (rounds done, total rounds).
    """
    pipelines = {name: _pipeline(folder) for name, folder in folders.items()}
    rates: dict[Name, list[float]] = {name: [] for name in folders}
    for round_number in range(ROUNDS + 1):
        on_round(round_number, ROUNDS + 1)
        prompt = prompts[round_number % len(prompts)]
        for name, pipeline in pipelines.items():
            rate = _generate(pipeline, prompt)
            if round_number:
                rates[name].append(rate)
    return rates


def _pipeline(folder: Path) -> Any:
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = CACHE_GIB
    return openvino_genai.ContinuousBatchingPipeline(str(folder), scheduler, "CPU", {})


def _generate(pipeline: Any, prompt: Sequence[int]) -> float:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = NEW_TOKENS
    config.ignore_eos = True
    config.do_sample = False
    started = time.perf_counter()
    (result,) = pipeline.generate([ov.Tensor(np.array([prompt]))], [config])
    seconds = time.perf_counter() - started
    return len(result.m_generation_ids[0]) / seconds
