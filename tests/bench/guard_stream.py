"""guard.stream: what the output guard costs a streamed answer, over merely looking for one phrase.

Value: microseconds per pushed piece (one word of about 6 characters) of 2,000-word answers with no
match, no two of the same words (`guard_texts.Answers`), default policy, output direction, one
thread. Floor: `str.find` of one phrase in each growing
tail of 64 characters, the least that any hold-back could do. Rival: none.
"""

import time
from importlib.resources import files

from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Direction

from tests.bench.figures import Figures, Goal, Line
from tests.bench.guard_texts import Answers
from tests.bench.harness import Group, Run

ID = "guard.stream"
WORDS = 2000
OUR_REPEATS, FLOOR_REPEATS = 10, 400
"""Long enough, about half a second each, for a scheduler's hiccup not to count."""
SECONDS = 8.0
COST = "us/piece"
GOAL = Goal(5.0, of_value=True)


def default_policy() -> CompiledPolicy:
    """The policy that moderation ships."""
    folder = files("modelmill_moderation") / "policies"
    documents = {
        file.name: file.read_text() for file in folder.iterdir() if file.name.endswith(".yaml")
    }
    return CompiledPolicy.from_bundle(compile_policy(parse_policy(documents)).content)


async def measure(run: Run) -> list[Line]:
    """One entry."""
    policy, answers = default_policy(), Answers()

    async def ours() -> Figures:
        texts = [answers.next(WORDS) for _ in range(OUR_REPEATS)]
        started = time.perf_counter()
        for text in texts:
            guard = policy.stream(Direction.OUTPUT)
            for piece in text:
                guard.push(piece)
            guard.finish()
        return {COST: (time.perf_counter() - started) / WORDS / OUR_REPEATS * 1e6}

    async def floor() -> Figures:
        tail, text = "", answers.next(WORDS)
        started = time.perf_counter()
        for _ in range(FLOOR_REPEATS):
            for piece in text:
                tail = (tail + piece)[-64:]
                tail.find("pipe bomb")
        return {COST: (time.perf_counter() - started) / WORDS / FLOOR_REPEATS * 1e6}

    contestants = {"ours": ours, "floor": floor}
    rounds = await run.interleaved(ID, contestants, seconds=SECONDS, steady=[COST])
    against, note = "str.find on the tail", "default policy, no match"
    return [rounds.line(ID, COST, unit=COST, against=against, goal=GOAL, note=note)]


GROUP = Group((ID,), measure, SECONDS)
