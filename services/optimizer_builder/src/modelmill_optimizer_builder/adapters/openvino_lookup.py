"""Measures prompt lookup of an IR on prompts, in the pipelines that serve it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai

from modelmill_optimizer_builder.adapters.openvino_speed import CACHE_GIB
from modelmill_optimizer_builder.adapters.speed_rounds import NEW_TOKENS
from modelmill_optimizer_builder.domain.prompt_lookup import (
    DRAFTED,
    MATCHED,
    LookupMode,
    LookupRound,
    LookupTrial,
    generation_fields,
)

GENERATION_CONFIG = "generation_config.json"
MOST_SECONDS = 60.0
"""After so long no further prompt is begun."""


Prompts = Sequence[Sequence[int]]
OnPrompt = Callable[[int, int], None]
Measure = Callable[[Path, Prompts, set[int], OnPrompt], Sequence[LookupRound]]
"""Of a folder and prompts, with the tokens that end an answer."""


def choose_lookup(
    folder: Path,
    prompts: Prompts,
    on_prompt: OnPrompt,
    mode: LookupMode = "auto",
    measure: Measure | None = None,
) -> dict[str, float]:
    """Have the build in `folder` draft as ordered or, by default, where that pays.

    Its generation config says so then. Where nothing was ordered, what the source's says stands.

    Args:
        prompts: Token ids of what will be asked; each is answered greedily.
        on_prompt: Called with (prompts done, all of them).
        measure: Answers the prompts; by default in the pipelines of the build.

    Returns:
        Metrics of the version; none where nothing was measured: nobody knows what will be asked,
        or it was said already whether to draft.
    """
    said = _generation_config(folder)
    if mode == "off":
        _write(folder, {**said, "prompt_lookup_num_tokens": None} if said else said)
    if mode == "on":
        _write(folder, {**said, **generation_fields()})
    if mode == "off" or not prompts or (mode == "auto" and "prompt_lookup_num_tokens" in said):
        return {}
    trial = LookupTrial((measure or answer_twice)(folder, prompts, _end_tokens(said), on_prompt))
    if mode == "auto" and trial.pays:
        _write(folder, {**said, **generation_fields()})
    return trial.figures(drafts=mode == "on" or trial.pays)


def answer_twice(
    folder: Path, prompts: Prompts, end_tokens: set[int], on_prompt: OnPrompt
) -> list[LookupRound]:
    """Each prompt without drafts and then with them, one request at a time."""
    without = _Answers(folder, end_tokens, drafts=False)
    drafting = _Answers(folder, end_tokens, drafts=True)
    for each in (without, drafting):
        each(prompts[0])  # a warm-up
    rounds: list[LookupRound] = []
    began = time.perf_counter()
    for number, prompt in enumerate(prompts):
        if time.perf_counter() - began > MOST_SECONDS:
            break
        on_prompt(number, len(prompts))
        rounds.append(LookupRound(without(prompt), drafting(prompt)))
    return rounds


class _Answers:
    """A pipeline without a prefix cache, which answers one request at a time."""

    def __init__(self, folder: Path, end_tokens: set[int], *, drafts: bool) -> None:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = CACHE_GIB
        scheduler.enable_prefix_caching = False
        properties = {"prompt_lookup": True} if drafts else {}
        self._pipeline: Any = openvino_genai.ContinuousBatchingPipeline(
            str(folder), scheduler, "CPU", properties
        )
        self._config = openvino_genai.GenerationConfig()
        self._config.max_new_tokens = NEW_TOKENS
        self._config.stop_token_ids = end_tokens
        if drafts:
            self._config.num_assistant_tokens = DRAFTED
            self._config.max_ngram_size = MATCHED

    def __call__(self, prompt: Sequence[int]) -> float:
        """Tokens per second of an answer."""
        began = time.perf_counter()
        (result,) = self._pipeline.generate([ov.Tensor(np.array([prompt]))], [self._config])
        return len(result.m_generation_ids[0]) / (time.perf_counter() - began)


def _write(folder: Path, said: Mapping[str, Any]) -> None:
    text = json.dumps(said, indent=2) + "\n"
    (folder / GENERATION_CONFIG).write_text(text, encoding="utf-8")


def _generation_config(folder: Path) -> Mapping[str, Any]:
    path = folder / GENERATION_CONFIG
    said: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return said


def _end_tokens(said: Mapping[str, Any]) -> set[int]:
    ends = said.get("eos_token_id")
    return set(ends) if isinstance(ends, list) else set() if ends is None else {ends}
