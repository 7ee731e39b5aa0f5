"""decode.path.1, .8 and .32: tokens a second through the whole path, over the bare engine.

Value: generated tokens / seconds from the first request sent to the last answer ended. Numerator of
the ratio: our path, HTTP streamed chat completions through gateway (token, policy, output guard),
moderation and inference, as `mill up` runs them, spans exported. Denominator (the floor): the same
ContinuousBatchingPipeline, scheduler and properties as inference's engine process, in a process of
its own, given token ids, its text never made. SmolLM2-135M, int8 weights, OpenVINO's own precision
for the rest; greedy, 64 new tokens at most. Load: 1, 8 or 32 requests in flight, closed loop, every
prompt new to both sides (they share the system turn, which both prefix caches hold). The prompts
ask for essays, so that answers do not end early; what counts is the tokens really generated, on our
side by the usage, on the floor's by its ids. Ours and the floor take turns in one run; whose turn
it is not waits in a read. Rival: none but the floor.
"""

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count

from tests.bench.built_model import built_model
from tests.bench.figures import Figures, Goal, Line, Rounds
from tests.bench.harness import Group, Measure, Run
from tests.bench.serving import ALIAS, Serving, serving
from tests.bench.worker import Worker, running

NEW_TOKENS = 64
RATE = "tokens/s"
IN_FLIGHT = {"decode.path.1": 1, "decode.path.8": 8, "decode.path.32": 32}
GOALS = {"decode.path.1": 0.9, "decode.path.8": 0.9, "decode.path.32": 0.8}
REQUESTS = {1: 4, 8: 24, 32: 64}
"""In a round: some seconds of work on each side, with a short tail in which fewer are in flight."""
EXPECTED_SECONDS = {1: 45.0, 8: 75.0, 32: 130.0}
PREPARE_SECONDS = 25.0
SUBJECTS = ("bread", "bridges", "clocks", "rivers", "maps", "paper", "glass", "tea", "ships")
PLACES = ("Norway", "Peru", "Japan", "Kenya", "Spain", "Canada", "Italy", "India", "Egypt")


class Prompts:
    """Prompts of one length and one kind, none twice."""

    def __init__(self) -> None:
        self._numbers = count()

    def take(self, many: int) -> list[str]:
        """The next ones."""
        return [essay(next(self._numbers)) for _ in range(many)]


def essay(number: int) -> str:
    """A prompt whose answer does not end early."""
    subject = SUBJECTS[number % len(SUBJECTS)]
    place = PLACES[number // len(SUBJECTS) % len(PLACES)]
    year = 1000 + number * 7 % 1000
    return f"Write a long essay about the history of {subject} in {place} since the year {year}."


def chat_bodies(prompts: Sequence[str]) -> list[str]:
    """Streamed requests for them, as the gateway takes them."""
    fixed = {
        "model": ALIAS,
        "max_tokens": NEW_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return [
        json.dumps(fixed | {"messages": [{"role": "user", "content": prompt}]})
        for prompt in prompts
    ]


async def path_figures(
    client: Worker, served: Serving, prompts: Sequence[str], in_flight: int
) -> Figures:
    """One turn of the whole path: its rate, and the CPU that each part of it took a token."""
    before = served.cpu_seconds()
    answer = await client.ask(
        port=served.port, token=served.token, bodies=chat_bodies(prompts), in_flight=in_flight
    )
    after = served.cpu_seconds()
    tokens = answer["tokens"]
    figures = {RATE: tokens / answer["seconds"], "tokens an answer": tokens / len(prompts)}
    figures["client share"] = answer["cpu_seconds"] / answer["seconds"]
    for name in after:
        figures[f"us {name}"] = (after[name] - before.get(name, 0.0)) / tokens * 1e6
    return figures


async def measure(run: Run) -> list[Line]:
    """The entries that are wanted, on one stack and one bare engine."""
    model = await built_model(run)
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving("decode_path", model.int8))
        client = await stack.enter_async_context(running("load_client"))
        engine = await stack.enter_async_context(running("bare_engine", str(model.int8)))
        sides = Sides(served, client, engine)
        return [
            await _measure_at(run, entry_id, sides)
            for entry_id in IN_FLIGHT
            if entry_id in run.wanted
        ]


@dataclass
class Sides:
    """Both sides, each with the same prompts in the same order, none twice in the run."""

    served: Serving
    client: Worker
    engine: Worker
    path_prompts: Prompts = field(default_factory=Prompts)
    engine_prompts: Prompts = field(default_factory=Prompts)
    idle: list[float] = field(default_factory=list)
    """Cores that the stack took in the bare engine's turns."""

    async def path_turn(self, many: int, in_flight: int) -> Figures:
        """The whole path."""
        prompts = self.path_prompts.take(many)
        return await path_figures(self.client, self.served, prompts, in_flight)

    async def engine_turn(self, many: int, in_flight: int) -> Figures:
        """The bare engine."""
        before = sum(self.served.cpu_seconds().values())
        answer = await self.engine.ask(
            prompts=self.engine_prompts.take(many), in_flight=in_flight, max_new_tokens=NEW_TOKENS
        )
        used = sum(self.served.cpu_seconds().values()) - before
        self.idle.append(used / answer["seconds"])
        tokens = answer["tokens"]
        return {RATE: tokens / answer["seconds"], "tokens an answer": tokens / many}


async def _measure_at(run: Run, entry_id: str, sides: Sides) -> Line:
    in_flight = IN_FLIGHT[entry_id]
    many = run.pick(REQUESTS[in_flight], min(2 * in_flight, 32))

    contestants: dict[str, Measure] = {
        "ours": lambda: sides.path_turn(many, in_flight),
        "floor": lambda: sides.engine_turn(many, in_flight),
    }
    seconds = EXPECTED_SECONDS[in_flight]
    rounds = await run.interleaved(entry_id, contestants, seconds=seconds, steady=[RATE])
    return rounds.line(
        entry_id,
        RATE,
        unit=RATE,
        against="bare openvino_genai pipeline",
        goal=Goal(GOALS[entry_id], at_least=True),
        note=_note(rounds, max(sides.idle)),
    )


def _note(rounds: Rounds, idle: float) -> str:
    parts = {
        "gateway": "us gateway",
        "moderation": "us moderation",
        "inference": "us inference",
        "engine": "us inference children",
    }
    cpu = ", ".join(f"{name} {rounds.median('ours', figure):.0f}" for name, figure in parts.items())
    return (
        f"bare {rounds.median('floor', RATE):.0f} tokens/s; CPU us/token: {cpu}; client "
        f"{rounds.median('ours', 'client share'):.1%} of a core; tokens an answer "
        f"{rounds.median('ours', 'tokens an answer'):.1f} and "
        f"{rounds.median('floor', 'tokens an answer'):.1f}; stack in the floor's turn at most "
        f"{idle:.1%} of a core"
    )


GROUP = Group(tuple(IN_FLIGHT), measure, PREPARE_SECONDS + sum(EXPECTED_SECONDS.values()))
