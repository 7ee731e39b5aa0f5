"""telemetry.cost: tokens a second through the whole path with spans exported, over without.

Value: generated tokens / seconds at 8 in flight, as decode.path.8, of a stack whose services export
spans by OTLP to the local collector (what `mill up` does). Denominator (the floor): a second stack
of the same build and settings but no OTLP endpoint; it runs beside the first, idle when it is not
its turn, and both get the same prompts. Metrics and logs are on in both. Rival: none.
"""

from contextlib import AsyncExitStack

from tests.bench.built_model import built_model
from tests.bench.decode_path import REQUESTS, Prompts, path_figures
from tests.bench.figures import Figures, Goal, Line
from tests.bench.harness import Group, Run
from tests.bench.serving import SERVICES, serving
from tests.bench.worker import running

ID = "telemetry.cost"
RATE = "tokens/s"
IN_FLIGHT = 8
SECONDS, PREPARE_SECONDS = 65.0, 35.0
GOAL = Goal(0.97, at_least=True)
WITHOUT = {f"{name}_otlp_endpoint".upper(): "" for name in SERVICES}


async def measure(run: Run) -> list[Line]:
    """One entry."""
    model = await built_model(run)
    many = run.pick(REQUESTS[IN_FLIGHT], 16)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        client = await enter(running("load_client"))
        exporting = await enter(serving("telemetry_on", model.int8))
        silent = await enter(serving("telemetry_off", model.int8, overrides=WITHOUT))
        prompts = {"ours": Prompts(), "floor": Prompts()}

        async def ours() -> Figures:
            return await path_figures(client, exporting, prompts["ours"].take(many), IN_FLIGHT)

        async def floor() -> Figures:
            return await path_figures(client, silent, prompts["floor"].take(many), IN_FLIGHT)

        contestants = {"ours": ours, "floor": floor}
        rounds = await run.interleaved(ID, contestants, seconds=SECONDS, steady=[RATE])
    figures = ("us gateway", "us inference", "us moderation")
    cost = sum(rounds.median("ours", one) - rounds.median("floor", one) for one in figures)
    note = f"8 in flight; {cost:.0f} us of CPU a token more in gateway, inference and moderation"
    against = "the same stack without OTLP"
    return [rounds.line(ID, RATE, unit=RATE, against=against, goal=GOAL, note=note)]


GROUP = Group((ID,), measure, SECONDS + PREPARE_SECONDS)
