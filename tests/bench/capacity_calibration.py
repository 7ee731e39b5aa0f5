"""Service times of a running stack for the simulation of `capacity`, from a short run.

Closed loop, 1 to 16 in flight, long answers and short ones, every prompt new. In each turn the
engine's time is all there is: tokens a second over the batch times the seconds of a step, and
prompts a second times what one takes, are 1. Two lengths of answers give both. A window leaves out
the beginning of a turn; tokens of an answer count by the share of its time that lies in it.

The output guard holds the first word until the token behind it: for so many steps as the word has
tokens.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import fmean, median
from typing import Any

from modelmill_capacity.measurements import BatchStep, EngineTimes, ServiceTimes
from modelmill_capacity.offered_load import RequestLengths
from tokenizers import Tokenizer

from tests.bench.built_model import FORM
from tests.bench.decode_path import essay
from tests.bench.serving import ALIAS, Serving
from tests.bench.worker import Worker

SEQUENCES, ADMITTED_TOKENS = 16, 16_384
WAITING = 128
"""Of one tenant: half of the places."""
CHUNK_TOKENS = 256
"""OpenVINO's own."""
SETTINGS = {
    "INFERENCE_ENGINE_MAX_SEQUENCES": str(SEQUENCES),
    "INFERENCE_ADMITTED_TOKENS": str(ADMITTED_TOKENS),
}
BATCHES = (1, 2, 4, 8, 16)
LONG, SHORT = 64, 8
"""Tokens of an answer, on average."""
WINDOW_BEGINS = 0.25
MOST_BODIES = 4000
Answers = Sequence[Mapping[str, Any]]


class RefusedError(Exception):
    """A request of a calibration was not answered."""


class Load:
    """Asks the stack, no prompt twice."""

    def __init__(self, client: Worker, served: Serving, model: Path) -> None:
        self.served = served
        self._client = client
        self._tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self._numbers = count()
        self._draws = random.Random(0)

    async def closed_loop(self, in_flight: int, mean: int, seconds: float) -> Answers:
        """So many in flight for so long."""
        lengths = RequestLengths(1, mean)
        most = min(MOST_BODIES, max(4 * in_flight, int(seconds * 1500 / mean)))
        tokens = [lengths.draw_output(self._draws) for _ in range(most)]
        return await self._ask(tokens, in_flight=in_flight, seconds=seconds)

    async def open_loop(self, at: Sequence[float], tokens: Sequence[int]) -> Answers:
        """Each at its time."""
        return await self._ask(tokens, at=[*at])

    def count_tokens(self, text: str) -> int:
        """Of a text that the model wrote."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    async def _ask(self, tokens: Sequence[int], **how: Any) -> Answers:
        bodies = [_body(next(self._numbers), each) for each in tokens]
        answer = await self._client.ask(
            port=self.served.port, token=self.served.token, bodies=bodies, **how
        )
        return answer["requests"]


def _body(number: int, tokens: int) -> str:
    return json.dumps(
        {
            "model": ALIAS,
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": essay(number)}],
        }
    )


@dataclass(frozen=True)
class Turn:
    """What one closed loop showed."""

    in_flight: int
    tokens_per_second: float
    prompts_per_second: float
    prompt_tokens: float
    first_text_tokens: float
    """Median."""
    cpu: Mapping[str, float]
    """Seconds by service, of the whole turn."""
    requests: int
    tokens: int


async def turn(load: Load, in_flight: int, mean: int, seconds: float) -> Turn:
    """Measure one.

    Raises:
        RefusedError: not all was answered.
    """
    before = load.served.cpu_seconds()
    answers = await load.closed_loop(in_flight, mean, seconds)
    after = load.served.cpu_seconds()
    if broken := [it["status"] for it in answers if it["ended"] is None]:
        raise RefusedError(f"{len(broken)} of {len(answers)} requests failed: {broken[:3]}")
    begin, end = WINDOW_BEGINS * seconds, seconds
    inside = [it for it in answers if begin <= it["first"] < end]
    tokens = sum(it["tokens"] * _share(it["first"], it["ended"], begin, end) for it in answers)
    return Turn(
        in_flight,
        tokens / (end - begin),
        len(inside) / (end - begin),
        fmean(it["prompt_tokens"] for it in answers),
        median(load.count_tokens(it["text"]) for it in inside),
        {name: after[name] - before.get(name, 0.0) for name in after},
        len(answers),
        sum(it["tokens"] for it in answers),
    )


def _share(begins: float, ends: float, begin: float, end: float) -> float:
    """Of a span, what lies in the window."""
    inside = min(ends, end) - max(begins, begin)
    return max(0.0, inside) / max(ends - begins, 1e-9)


@dataclass(frozen=True)
class Calibration:
    """Service times, and what they were computed from."""

    engine: EngineTimes
    services: tuple[ServiceTimes, ...]


async def calibrate(
    load: Load, *, long_seconds: float, short_seconds: float, start_seconds: float, source: str
) -> Calibration:
    """Measure all turns, and compute the service times."""
    await turn(load, SEQUENCES, LONG, long_seconds / 2)  # shapes that were not seen before
    long = [await turn(load, each, LONG, long_seconds) for each in BATCHES]
    short = [await turn(load, each, SHORT, short_seconds) for each in BATCHES]
    services = tuple(
        service_times(name, long[-1], short[-1], source) for name in ("gateway", "moderation")
    )
    found = step_times(long, short)
    prompt_tokens = fmean(it.prompt_tokens for it in long)
    way = sum(it.request_seconds for it in services)
    engine = EngineTimes(
        form=FORM,
        model="SmolLM2-135M",
        machine="2 cores of an AMD EPYC, all services on them",
        origin="measured",
        source=source,
        steps=found.steps,
        prompt_token_seconds=found.prompt_seconds / prompt_tokens,
        overhead_seconds=max(0.0, found.overhead_seconds - way),
        held_tokens=round(median(it.first_text_tokens for it in long)),
        sequences=SEQUENCES,
        tokens=ADMITTED_TOKENS,
        waiting=WAITING,
        chunk_tokens=CHUNK_TOKENS,
        start_seconds=round(start_seconds, 1),
        prompt_tokens=round(prompt_tokens),
        output_tokens=LONG,
    )
    return Calibration(engine, services)


@dataclass(frozen=True)
class StepTimes:
    """What the turns say of the engine."""

    steps: tuple[BatchStep, ...]
    prompt_seconds: float
    overhead_seconds: float
    """Of the way to the engine and back, in which a slot is empty."""


def step_times(long: Sequence[Turn], short: Sequence[Turn]) -> StepTimes:
    """Seconds of a step by batch size, of a prompt in the engine, and of the way there.

    A slot is empty while its next request is under way: of one alone that is a part of each
    answer, and of many beside each other it is hardly any.
    """
    both = []
    for more, less in zip(long, short, strict=True):
        # more.tokens * step + more.prompts * x = 1, and the same of the short ones.
        determinant = (
            more.tokens_per_second * less.prompts_per_second
            - less.tokens_per_second * more.prompts_per_second
        )
        step = (less.prompts_per_second - more.prompts_per_second) / determinant
        prompt = (more.tokens_per_second - less.tokens_per_second) / determinant
        both.append((more.in_flight, step * more.in_flight, prompt))
    overhead = prompt_seconds = 0.0
    for _ in range(20):
        found = [prompt - overhead / batch for batch, _, prompt in both if batch > 1]
        prompt_seconds = max(0.0, median(found))
        overhead = max(0.0, both[0][2] - prompt_seconds)
    steps = tuple(
        BatchStep(batch=it.in_flight, seconds=_step_seconds(it, prompt_seconds, overhead))
        for it in long
    )
    return StepTimes(steps, prompt_seconds, overhead)


def _step_seconds(it: Turn, prompt_seconds: float, overhead: float) -> float:
    left = 1 - it.prompts_per_second * (prompt_seconds + overhead / it.in_flight)
    return left * it.in_flight / it.tokens_per_second


def service_times(name: str, long: Turn, short: Turn, source: str) -> ServiceTimes:
    """From two turns: the same for a request, and the same for a token."""
    determinant = long.requests * short.tokens - short.requests * long.tokens
    request = (long.cpu[name] * short.tokens - short.cpu[name] * long.tokens) / determinant
    token = (long.requests * short.cpu[name] - short.requests * long.cpu[name]) / determinant
    return ServiceTimes(
        name=name,
        origin="measured",
        source=source,
        request_seconds=max(0.0, request),
        token_seconds=max(0.0, token),
    )
