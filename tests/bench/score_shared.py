"""score.shared: scoring eight continuations of a prompt at once, over one at a time.

Value: milliseconds for the log-likelihoods of 8 continuations of 16 tokens behind 1,000 tokens,
asked of the openvino engine (its process, no service around it) in one request. Denominator (the
floor): the same prompt and continuations in 8 requests, one after the other, each of which computes
the prompt. SmolLM2-135M, int8 weights, full precision as always for scores. Rival: none.
"""

import random
import time

from modelmill_inference.domain.generation import ScoreRequest

from tests.bench.built_model import built_model
from tests.bench.engines import opened, random_tokens
from tests.bench.figures import Figures, Goal, Line
from tests.bench.harness import Group, Run

ID = "score.shared"
PROMPT, QUICK_PROMPT = 1_000, 100
CONTINUATIONS, LENGTH = 8, 16
DELAY = "ms"
GOAL = Goal(0.25)
SECONDS, PREPARE_SECONDS = 90.0, 10.0


async def measure(run: Run) -> list[Line]:
    """One entry."""
    model = await built_model(run)
    draw = random.Random(ID)
    many, before = run.pick(CONTINUATIONS, 2), run.pick(PROMPT, QUICK_PROMPT)

    def request() -> ScoreRequest:
        prompt = tuple(random_tokens(draw, before))
        return ScoreRequest(prompt, tuple(tuple(random_tokens(draw, LENGTH)) for _ in range(many)))

    async with opened(model.int8) as engine:

        async def together() -> Figures:
            asked = request()
            began = time.perf_counter()
            await engine.score(asked)
            return {DELAY: (time.perf_counter() - began) * 1e3}

        async def apart() -> Figures:
            asked = request()
            began = time.perf_counter()
            for continuation in asked.continuations:
                await engine.score(ScoreRequest(asked.prompt, (continuation,)))
            return {DELAY: (time.perf_counter() - began) * 1e3}

        contestants = {"ours": together, "floor": apart}
        rounds = await run.interleaved(ID, contestants, seconds=SECONDS, steady=[DELAY])
    apart_ms = rounds.median("floor", DELAY)
    note = f"{many} of {LENGTH} tokens behind {before}; one by one {apart_ms:.0f} ms"
    against = "one request for each"
    return [rounds.line(ID, DELAY, unit=DELAY, against=against, goal=GOAL, note=note)]


GROUP = Group((ID,), measure, PREPARE_SECONDS + SECONDS)
