"""prefix.ttft: time to the first token when 90 % of the prompt is in the prefix cache.

Value: milliseconds from handing a request to the openvino engine (its process, no service around
it) to its first token, median of a round. Numerator: prompts of 2,000 tokens of which the first
1,800 are those of a request before, the rest new. Denominator (the floor, a miss): prompts of 2,000
tokens all new. One at a time, SmolLM2-135M, int8 weights, the engine's defaults; the tokens are
random ones, which cost what others cost. Rival: none.
"""

import random
import statistics
import time

from modelmill_inference.adapters.engine_process import EngineProcess

from tests.bench.built_model import built_model
from tests.bench.engines import generated, greedy, opened, random_tokens
from tests.bench.figures import Figures, Goal, Line
from tests.bench.harness import Group, Run

ID = "prefix.ttft"
PROMPT, QUICK_PROMPT = 2_000, 200
SHARED = 0.9
REQUESTS = 4
DELAY = "ms"
GOAL = Goal(0.25)
SECONDS, PREPARE_SECONDS = 70.0, 5.0


async def measure(run: Run) -> list[Line]:
    """One entry."""
    model = await built_model(run)
    draw = random.Random(ID)
    many, length = run.pick(REQUESTS, 2), run.pick(PROMPT, QUICK_PROMPT)
    common = round(SHARED * length)
    async with opened(model.int8) as engine:

        async def first_token(prompt: list[int]) -> float:
            return await _first_token_ms(engine, prompt)

        async def hits() -> Figures:
            shared = random_tokens(draw, common)
            await first_token(shared + random_tokens(draw, length - common))
            prompts = [shared + random_tokens(draw, length - common) for _ in range(many)]
            return {DELAY: statistics.median([await first_token(one) for one in prompts])}

        async def misses() -> Figures:
            prompts = [random_tokens(draw, length) for _ in range(many)]
            return {DELAY: statistics.median([await first_token(one) for one in prompts])}

        contestants = {"ours": hits, "floor": misses}
        rounds = await run.interleaved(ID, contestants, seconds=SECONDS, steady=[DELAY])
    note = f"a miss {rounds.median('floor', DELAY):.0f} ms; {length} tokens, {common} shared"
    against = "a prompt that is all new"
    return [rounds.line(ID, DELAY, unit=DELAY, against=against, goal=GOAL, note=note)]


async def _first_token_ms(engine: EngineProcess, prompt: list[int]) -> float:
    began = time.perf_counter()
    await generated(engine, greedy(prompt, 1))
    return (time.perf_counter() - began) * 1e3


GROUP = Group((ID,), measure, PREPARE_SECONDS + SECONDS)
