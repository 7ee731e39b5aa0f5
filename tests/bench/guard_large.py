"""guard.stream.10k and guard.adversarial: the guard under 10,000 keywords and 100 patterns.

guard.stream.10k. Value: microseconds a pushed word of about 6 characters takes, the middle one of
2,000-word answers with no match, timed each by itself, output direction, one thread. The words are
those of WordNet's glosses in their order (BENCH_DATA's, else the demo's); no two answers have the
same ones. Floor: `str.find` of one phrase in each growing tail of 64 characters. Rival: none.

guard.adversarial. Value: nanoseconds a byte of the dearest of the adversarial texts of 1 MB
(`guard_texts.adversarial`), checked whole. Denominator (the floor): the same of an ordinary text of
both languages as long, keywords planted. Rival: none.
"""

import statistics
import time

from modelmill_guard.verdict import Direction

from tests.bench.figures import Figures, Goal, Line
from tests.bench.guard_texts import (
    KEYWORDS,
    MOST_CHARACTERS,
    PATTERNS,
    Answers,
    adversarial,
    large_policy,
)
from tests.bench.guard_texts import text as ordinary
from tests.bench.harness import Group, Run

STREAM, ADVERSARIAL = "guard.stream.10k", "guard.adversarial"
WORDS = 2000
OUR_REPEATS, FLOOR_REPEATS = 10, 400
PIECE, BYTE = "us/piece", "ns/byte"
STREAM_GOAL, ADVERSARIAL_GOAL = Goal(5.0, of_value=True), Goal(2.0)
SECONDS = {STREAM: 10.0, ADVERSARIAL: 240.0}
BYTES = 1_000_000
RULES = f"{KEYWORDS:,} keywords and {PATTERNS} patterns"


async def measure(run: Run) -> list[Line]:
    """Both by one policy."""
    run.say(f"{STREAM}: compiling")
    large_policy()
    lines: list[Line] = []
    if STREAM in run.wanted:
        lines.append(await _stream(run))
    if ADVERSARIAL in run.wanted:
        lines.append(await _adversarial(run))
    return lines


async def _stream(run: Run) -> Line:
    policy, answers = large_policy(), Answers()

    async def ours() -> Figures:
        took: list[int] = []
        for _ in range(OUR_REPEATS):
            guard, pieces = policy.stream(Direction.OUTPUT), answers.next(WORDS)
            for piece in pieces:
                began = time.perf_counter_ns()
                guard.push(piece)
                took.append(time.perf_counter_ns() - began)
            guard.finish()
        return {PIECE: statistics.median(took) / 1e3, "mean": statistics.mean(took) / 1e3}

    async def floor() -> Figures:
        tail, pieces = "", answers.next(WORDS)
        started = time.perf_counter()
        for _ in range(FLOOR_REPEATS):
            for piece in pieces:
                tail = (tail + piece)[-64:]
                tail.find("pipe bomb")
        return {PIECE: (time.perf_counter() - started) / WORDS / FLOOR_REPEATS * 1e6}

    contestants = {"ours": ours, "floor": floor}
    rounds = await run.interleaved(STREAM, contestants, seconds=SECONDS[STREAM], steady=[PIECE])
    note = f"{RULES}, no match; mean {rounds.median('ours', 'mean'):.2f} us"
    against = "str.find on the tail"
    return rounds.line(STREAM, PIECE, unit=PIECE, against=against, goal=STREAM_GOAL, note=note)


async def _adversarial(run: Run) -> Line:
    size = run.pick(BYTES, 20_000)
    texts = dict(adversarial(size))
    plain = _of_bytes(size)

    async def ours() -> Figures:
        costs = {name: _cost(text) for name, text in texts.items()}
        return {BYTE: max(costs.values()), **costs}

    async def floor() -> Figures:
        return {BYTE: _cost(plain)}

    contestants = {"ours": ours, "floor": floor}
    rounds = await run.interleaved(
        ADVERSARIAL, contestants, seconds=SECONDS[ADVERSARIAL], steady=[BYTE]
    )
    plain_cost = rounds.median("floor", BYTE)
    costs = {name: rounds.median("ours", name) / plain_cost for name in texts}
    dearest = sorted(costs, key=lambda name: -costs[name])[:3]
    said = ", ".join(f"{name} {costs[name]:.2f}" for name in dearest)
    return rounds.line(
        ADVERSARIAL,
        BYTE,
        unit=BYTE,
        against="ordinary text as long",
        goal=ADVERSARIAL_GOAL,
        note=f"{RULES}; dearest of {len(texts)} over ordinary: {said}",
    )


def _of_bytes(size: int) -> str:
    return ordinary(size)[0].encode()[:size].decode("utf-8", "ignore")


def _cost(text: str) -> float:
    """Of a whole check."""
    assert len(text) <= MOST_CHARACTERS
    began = time.perf_counter()
    large_policy().check(text, Direction.INPUT)
    return (time.perf_counter() - began) / len(text.encode()) * 1e9


GROUP = Group((STREAM, ADVERSARIAL), measure, sum(SECONDS.values()))
