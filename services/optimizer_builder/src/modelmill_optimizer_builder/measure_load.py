"""Child process of a search: loads one candidate in its engine and measures it under a load.

`python -m modelmill_optimizer_builder.measure_load`. Every repeat is a process of its own, so that
its memory is the engine's, and what one load of a model happens to get does not decide.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from modelmill_jobs.child import ChildFailure, ChildPort, Preempted, run_child_main
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.large_imports import large_import, leave_out_bitsandbytes
from modelmill_service_kit.machine_size import resident_memory
from modelmill_tokenization.bounded import LimitError
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry
from modelmill_optimizer_builder.domain.measurements import LoadRepeat, Round
from modelmill_optimizer_builder.domain.objectives import Load
from modelmill_optimizer_builder.domain.pareto import SOURCE
from modelmill_optimizer_builder.read_calibration import GENERAL_TEXT

ENGINES = {
    SOURCE: "served_source:SourceServed",
    "openvino": "served_openvino:OpenVinoServed",
    "onnx": "served_onnx:OnnxServed",
}
"""Adapters by the beginning of a form's name."""
ROUNDS = 8
LEAST_ROUNDS = 3
ROUNDS_SECONDS = 60.0
"""After so long no further round is begun."""
ALONE_ROUNDS = 3
WARM_UP_TOKENS = 8
LOAD_SILENCE_SECONDS = 600.0
STEP_SILENCE_SECONDS = 120.0
BYTES_PER_MB = 10**6

OnStep = Callable[[], None]


class ServedModel(Protocol):
    """A candidate in the engine that serves it."""

    def answer(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, on_step: OnStep
    ) -> list[list[float]]:
        """Answer requests that are begun together, greedily and without an early end.

        Returns:
            For each request, `time.perf_counter()` when each token of its answer was there.
        """


def main(port: ChildPort) -> Mapping[str, Any]:
    """A repeat of the load in `port.request` on its candidate."""
    port.report("measure", max_silence_seconds=LOAD_SILENCE_SECONDS)
    forbid_telemetry()
    request = port.request
    load = Load(**request["load"])
    try:
        text = _general_tokens(Path(request["tokenizer"]))
    except (InvalidInputError, LimitError) as error:
        raise ChildFailure(error.reason, error.message, "Import the model again.") from error
    model = _load(request["form"], Path(request["folder"]), request["adapter"])
    steps = 0

    def on_step() -> None:
        nonlocal steps
        if port.stop_requested:
            raise Preempted
        steps += 1
        if steps % 16 == 1:
            port.report(
                "measure", done=steps, unit="step", max_silence_seconds=STEP_SILENCE_SECONDS
            )

    return measure(model, load, text, on_step).as_json()


def measure(model: ServedModel, load: Load, text: Sequence[int], on_step: OnStep) -> LoadRepeat:
    """Rounds of the load after a short warm-up, and requests alone where it has several."""
    prompts = _Prompts(text, load.prompt_tokens)
    model.answer(prompts.take(load.in_flight), min(WARM_UP_TOKENS, load.output_tokens), on_step)
    rounds: list[Round] = []
    began = time.perf_counter()
    while len(rounds) < ROUNDS:
        if len(rounds) >= LEAST_ROUNDS and time.perf_counter() - began > ROUNDS_SECONDS:
            break
        rounds.append(_round(model, prompts.take(load.in_flight), load.output_tokens, on_step))
    memory = resident_memory(os.getpid())
    alone: list[float] = []
    if load.in_flight > 1:
        for _ in range(ALONE_ROUNDS):
            one = _round(model, prompts.take(1), load.output_tokens, on_step)
            alone += one.latencies_ms
    return LoadRepeat(tuple(rounds), tuple(alone), memory / BYTES_PER_MB)


def _round(
    model: ServedModel, prompts: Sequence[Sequence[int]], new_tokens: int, on_step: OnStep
) -> Round:
    began = time.perf_counter()
    times = model.answer(prompts, new_tokens, on_step)
    return Round(
        seconds=max(answer[-1] for answer in times) - began,
        latencies_ms=tuple(1000 * (answer[-1] - began) for answer in times),
        first_token_ms=tuple(1000 * (answer[0] - began) for answer in times),
    )


class _Prompts:
    """Stretches of a text, each another one, so that no cache has seen a prompt's beginning."""

    def __init__(self, text: Sequence[int], tokens: int) -> None:
        self._text = text
        self._tokens = tokens
        self._start = 0

    def take(self, count: int) -> list[list[int]]:
        """The next prompts."""
        return [self._next() for _ in range(count)]

    def _next(self) -> list[int]:
        size = len(self._text)
        places = range(self._start, self._start + self._tokens)
        self._start = (self._start + 1 + self._tokens // 2) % size
        return [self._text[place % size] for place in places]


def _general_tokens(tokenizer: Path) -> list[int]:
    text = files(__package__).joinpath(GENERAL_TEXT).read_text(encoding="utf-8")
    bounded = BoundedTokenizer.load(tokenizer)
    try:
        return list(bounded.encode(text))
    finally:
        bounded.close()  # its process must not count as the engine's memory


def _load(form: str, folder: Path, adapter: str | None) -> ServedModel:
    module, _, name = ENGINES[form.partition("-")[0]].partition(":")
    leave_out_bitsandbytes(folder)
    with large_import("bitsandbytes"):
        loaded = import_module(f"modelmill_optimizer_builder.adapters.{module}")
    served: ServedModel = getattr(loaded, name)(folder, None if adapter is None else Path(adapter))
    return served


if __name__ == "__main__":
    run_child_main(main)
