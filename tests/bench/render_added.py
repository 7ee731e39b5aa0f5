"""render.added: ms that a prompt takes more in a bounded process.

Value: median of `encode_prompt` of a conversation of three turns (1 KB) by `TokenizerPool`, as
inference asks it, one at a time, on uvloop, less the median of the same by the `ChatTokenizer` in
the caller's own process. Denominator (the floor): that median. Both take turns, 200 prompts each,
all different; a round is one turn of both. The tokenizer is a small byte-level BPE with SmolLM2's
template: what is added does not depend on what is run. Rival: none.
"""

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import uvloop
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization import ChatTokenizer, Turn
from modelmill_tokenization.bounded import Limits
from modelmill_tokenization.bounded.pool import TokenizerPool

from tests.bench.figures import Entry, Line
from tests.bench.harness import Group, Run

ID = "render.added"
PROMPTS, ROUNDS, QUICK_ROUNDS = 200, 15, 3
WORDS = [
    "the",
    "price",
    "of",
    "a",
    "thing",
    "is",
    "what",
    "people",
    "give",
    "for",
    "it",
    "today",
    "and",
    "not",
    "what",
    "it",
    "cost",
]
GOAL_MS = 1.0
TENANT = "bench"


class Unwatched:
    """Hears of the pool, and keeps nothing."""

    def running(self, processes: int) -> None: ...

    def waited(self, seconds: float) -> None: ...

    def worked(self, cpu_seconds: float) -> None: ...

    def stopped(self) -> None: ...

    def refused(self) -> None: ...


async def measure(run: Run) -> list[Line]:
    """One entry."""
    rounds = run.pick(ROUNDS, QUICK_ROUNDS)
    run.say(f"{ID}: {rounds} rounds of {PROMPTS} prompts")
    return [entry_of(await asyncio.to_thread(rounds_of, rounds))]


def rounds_of(rounds: int) -> list[tuple[float, float]]:
    """Of each round the medians in ms: bounded, and in the own process."""
    with tempfile.TemporaryDirectory() as place:
        return uvloop.run(_measured(make_tiny_llama(Path(place)), rounds))


async def _measured(folder: Path, rounds: int) -> list[tuple[float, float]]:
    own, draw = ChatTokenizer.load(folder), random.Random(1)
    found = []
    async with TokenizerPool(Limits(), Unwatched()) as pool:
        opened = await pool.open(TENANT, folder)
        for _ in range(rounds + 1):
            conversations = [_conversation(draw) for _ in range(PROMPTS)]
            bounded, local = [], []
            for turns in conversations:
                began = time.perf_counter()
                await opened.prompts.encode_prompt(TENANT, turns)
                between = time.perf_counter()
                own.encode_prompt(turns)
                bounded.append((between - began) * 1e3)
                local.append((time.perf_counter() - between) * 1e3)
            found.append((statistics.median(bounded), statistics.median(local)))
    return found[1:]


def _conversation(draw: random.Random) -> list[Turn]:
    def text() -> str:
        return " ".join(draw.choices(WORDS, k=60))

    return [
        {"role": "user", "content": text()},
        {"role": "assistant", "content": text()},
        {"role": "user", "content": text()},
    ]


def entry_of(rounds: list[tuple[float, float]]) -> Entry:
    """The line of the table."""
    added = [bounded - local for bounded, local in rounds]
    ratios = sorted(bounded / local for bounded, local in rounds)
    bounded, local = (statistics.median(side) for side in zip(*rounds, strict=True))
    value = statistics.median(added)
    return Entry(
        id=ID,
        value=value,
        unit="ms",
        against="the same in the caller's own process",
        ratio=bounded / local,
        goal=f"<= {GOAL_MS:g} ms",
        met=value <= GOAL_MS,
        ci95=(ratios[0], ratios[-1]),
        note=f"p50 {bounded:.3f} ms bounded, {local:.3f} ms before; interval: all {len(rounds)} "
        "rounds",
    )


GROUP = Group((ID,), measure, 20.0)
