"""What the output guard costs a streamed answer, over merely looking for one phrase in it.

Value: microseconds per pushed piece (one word of about 5 characters) of a 2,000-word answer with no
match, default policy, output direction, one thread. Floor: `str.find` of one phrase in each growing
tail of 64 characters, the least that any hold-back could do.
"""

import time
from importlib.resources import files

from guard.bundle import CompiledPolicy, compile_policy
from guard.policy import parse_policy
from guard.verdict import Direction

from tests.bench.harness import Entry, interleaved, ratio_with_interval

WORDS = 2000
OUR_REPEATS, FLOOR_REPEATS = 10, 400
"""Long enough, about half a second each, for a scheduler's hiccup not to count."""
GOAL_MICROSECONDS = 5.0


def default_policy() -> CompiledPolicy:
    folder = files("moderation") / "policies"
    documents = {
        file.name: file.read_text() for file in folder.iterdir() if file.name.endswith(".yaml")
    }
    return CompiledPolicy.from_bundle(compile_policy(parse_policy(documents)).content)


def pieces() -> list[str]:
    words = ("the ", "coffee ", "water ", "under ", "pressure ", "small ", "grows, ", "person. ")
    return [words[number % len(words)] for number in range(WORDS)]


async def guard_stream() -> Entry:
    policy, text = default_policy(), pieces()

    async def ours() -> float:
        started = time.perf_counter()
        for _ in range(OUR_REPEATS):
            guard = policy.stream(Direction.OUTPUT)
            for piece in text:
                guard.push(piece)
            guard.finish()
        return (time.perf_counter() - started) / WORDS / OUR_REPEATS * 1e6

    async def floor() -> float:
        tail = ""
        started = time.perf_counter()
        for _ in range(FLOOR_REPEATS):
            for piece in text:
                tail = (tail + piece)[-64:]
                tail.find("pipe bomb")
        return (time.perf_counter() - started) / WORDS / FLOOR_REPEATS * 1e6

    rounds = await interleaved({"ours": ours, "floor": floor}, title="guard, streamed")
    ratio, low, high = ratio_with_interval(rounds["ours"], rounds["floor"])
    value = sorted(rounds["ours"])[len(rounds["ours"]) // 2]
    return Entry(
        id="guard.stream",
        value=value,
        unit="us/piece",
        against="str.find on the tail",
        ratio=ratio,
        goal=f"<= {GOAL_MICROSECONDS:g} us/piece",
        met=value <= GOAL_MICROSECONDS,
        ci95=(low, high),
        note="default policy, no match",
    )
