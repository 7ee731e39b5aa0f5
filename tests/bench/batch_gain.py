"""batch.gain and .p95: short queries, four in flight over one at a time, on the same service.

Value of `batch.gain`: queries answered / seconds from the first one sent to the last one ended,
with four in flight (numerator); denominator (the floor): the same with one at a time. Value of
`batch.gain.p95`: the 95th percentile of a query's seconds with four in flight, over that with one.
Engine: inference alone, over gRPC, its defaults; SmolLM2-135M, OpenVINO int8. Load: closed loop,
greedy, 8 new tokens at most, chat prompts of some 20 tokens behind a system turn that the prefix
cache holds, none twice. Both take turns in one run. Rival: none.

With four in flight the mean time of a query is 4 / gain times that of one alone (Little's law): a
p95 of 1.1 needs a gain of about 3.6 where times vary little.
"""

import statistics
from contextlib import AsyncExitStack

from tests.bench.built_model import built_model
from tests.bench.decode_path import Prompts
from tests.bench.figures import Figures, Goal, Line, Rounds
from tests.bench.harness import Group, Measure, Run
from tests.bench.inference_alone import inference_alone
from tests.bench.rpc_turn import rpc_turn
from tests.bench.worker import running

GAIN, P95 = "batch.gain", "batch.gain.p95"
NEW_TOKENS, IN_FLIGHT = 8, 4
QUERIES = {IN_FLIGHT: 200, 1: 80}
"""In a round: some four seconds each."""
SECONDS, PREPARE_SECONDS = 90.0, 20.0
GAIN_GOAL, P95_GOAL = Goal(3.2, at_least=True), Goal(1.1)


async def measure(run: Run) -> list[Line]:
    """Both entries, of the same rounds."""
    model = await built_model(run)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        alone = await enter(inference_alone(model.int8))
        client = await enter(running("rpc_load"))
        prompts = Prompts()

        def turn(in_flight: int) -> Measure:
            async def measured() -> Figures:
                asked = prompts.take(run.pick(QUERIES[in_flight], 40))
                figures, latencies = await rpc_turn(alone, client, asked, in_flight, NEW_TOKENS)
                milliseconds = [one * 1e3 for one in latencies]
                return {
                    "queries/s": figures["queries/s"],
                    "p95": statistics.quantiles(milliseconds, n=20)[-1],
                    "mean": statistics.mean(milliseconds),
                }

            return measured

        contestants = {"ours": turn(IN_FLIGHT), "floor": turn(1)}
        rounds = await run.interleaved(
            GAIN, contestants, seconds=SECONDS, steady=["queries/s", "p95"]
        )
    return [line for line in _lines(rounds) if line.id in run.wanted]


def _lines(rounds: Rounds) -> list[Line]:
    against = "one at a time"
    gain = rounds.line(
        GAIN,
        "queries/s",
        unit="queries/s",
        against=against,
        goal=GAIN_GOAL,
        note=f"alone {rounds.median('floor', 'queries/s'):.1f} queries/s",
    )
    ours, alone = (rounds.median(name, "mean") for name in ("ours", "floor"))
    note = f"alone p95 {rounds.median('floor', 'p95'):.1f} ms; means {ours:.1f} and {alone:.1f} ms"
    p95 = rounds.line(P95, "p95", unit="ms", against=against, goal=P95_GOAL, note=note)
    return [gain, p95]


GROUP = Group((GAIN, P95), measure, SECONDS + PREPARE_SECONDS)
