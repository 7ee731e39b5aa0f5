"""overload.goodput, overload.refusal, dropped.stop: more than inference can do, callers who go.

Load: gRPC calls to inference alone, three tenants in turn, every prompt new, 64 new tokens, greedy,
a deadline of ten seconds. What it can do is measured first: 32 in flight, closed loop. Offered,
open loop and evenly spaced, are that rate, and five times that rate for a minute.

overload.goodput: tokens/s of answers that were complete before their deadline, counted from ten
seconds after the turn's beginning. Denominator (the floor): the same at the rate that it can do.

overload.refusal: ms until RESOURCE_EXHAUSTED was there, p99 of a turn at five times the rate.
Denominator: p99 of NOT_FOUND for an unknown version, one at a time, with nothing else to do.

dropped.stop: a hundred streams, each of which has its first token, are cancelled at once; ms until
the last token that the engine generated, by the metrics page, which bounds the p99 of all streams.
Denominator: the same of one stream. Met only if no slot and no token of the budget is held
afterwards. Rival: none.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.built_model import built_model
from tests.bench.figures import Entry, Figures, Goal, Line, Rounds
from tests.bench.harness import FEWEST_ROUNDS, Group, Run
from tests.bench.inference_alone import VERSION, inference_alone
from tests.bench.worker import Worker, WorkerFailedError, running

GOODPUT, REFUSAL, DROPPED = "overload.goodput", "overload.refusal", "dropped.stop"
RATE, REFUSED, STOPPED = "tokens/s", "ms p99", "ms"
NEW_TOKENS, LONG_TOKENS = 64, 1000
IN_FLIGHT, STREAMS = 32, 100
TIMES = 5
DEADLINE_SECONDS = RAMP_SECONDS = 10.0
OVERLOAD_SECONDS, FLOOR_SECONDS, CAPACITY_SECONDS = 60.0, 30.0, 15.0
UNKNOWN_CALLS = 200
SECONDS = {"overload": 660.0, "dropped": 75.0}
PREPARE_SECONDS = 15.0
GOALS = {
    GOODPUT: Goal(0.95, at_least=True),
    REFUSAL: Goal(50.0, of_value=True),
    DROPPED: Goal(1000.0, of_value=True),
}


async def measure(run: Run) -> list[Line]:
    """The entries that are wanted, on two services: one with room for 32, one for 100."""
    model = await built_model(run)
    lines: list[Line] = []
    if run.wanted & {GOODPUT, REFUSAL}:
        async with AsyncExitStack() as stack:
            client = await _client(stack, model.int8, IN_FLIGHT)
            lines += await _overload(run, client)
    if DROPPED in run.wanted:
        async with AsyncExitStack() as stack:
            client = await _client(stack, model.int8, STREAMS)
            lines.append(await _dropped(run, client))
    return lines


@dataclass(frozen=True)
class Client:
    """The load, and what each of its questions says."""

    worker: Worker

    async def ask(self, do: str, new_tokens: int = NEW_TOKENS, **more: float) -> dict[str, Any]:
        """One question."""
        return await self.worker.ask(do=do, version=VERSION, new_tokens=new_tokens, **more)


async def _client(stack: AsyncExitStack, folder: Path, sequences: int) -> Client:
    settings = {"engine_max_sequences": str(sequences), "admitted_tokens": str(sequences * 2048)}
    alone = await stack.enter_async_context(inference_alone(folder, **settings))
    arguments = (alone.address, alone.metrics_url, alone.secret)
    return Client(await stack.enter_async_context(running("overload_client", *arguments)))


async def _overload(run: Run, client: Client) -> list[Line]:
    sides = Sides(client, run)
    run.say(f"{GOODPUT}: what it can do")
    await sides.measure_capacity()
    contestants = {"ours": sides.overload_turn, "floor": sides.floor_turn}
    rounds = await _few_rounds(run).interleaved(
        GOODPUT, contestants, seconds=SECONDS["overload"], steady=[RATE]
    )
    goodput = rounds.line(
        GOODPUT,
        RATE,
        unit=RATE,
        against="what is offered as it can do",
        goal=GOALS[GOODPUT],
        note=sides.note(rounds),
    )
    refusal = rounds.line(
        REFUSAL,
        REFUSED,
        unit="ms",
        against="NOT_FOUND at no load",
        goal=GOALS[REFUSAL],
        note=f"{rounds.median('ours', 'refused'):.0f} refusals a turn; the longest of any "
        f"{max(rounds.series('ours', 'longest')):.0f} ms",
        floor_figure=RATE,
    )
    return [line for line in (goodput, refusal) if line.id in run.wanted]


def _few_rounds(run: Run) -> Run:
    """A minute of overload in each round: no more rounds than an interval needs."""
    fewer = replace(run, rounds=min(run.rounds, FEWEST_ROUNDS))
    fewer.spent = run.spent
    return fewer


@dataclass
class Sides:
    """Both rates, on one service."""

    client: Client
    run: Run
    rate: float = 0.0
    """Requests a second that it can do."""
    can: float = 0.0
    """Tokens a second of that."""

    async def measure_capacity(self) -> None:
        """Closed loop, as many in flight as may be."""
        seconds = 4.0 if self.run.quick else CAPACITY_SECONDS
        # The first time warms up: a full batch's shapes were not seen before.
        for _ in range(2):
            found = await self.client.ask("capacity", in_flight=IN_FLIGHT, seconds=seconds)
        self.can = found["tokens_a_second"]
        self.rate = self.can / found["tokens_an_answer"]

    async def overload_turn(self) -> Figures:
        """Five times as much for a minute."""
        return await self._offer(TIMES, OVERLOAD_SECONDS)

    async def floor_turn(self) -> Figures:
        """As much as it can do, and refusals of another kind once it has nothing to do."""
        figures = await self._offer(1, FLOOR_SECONDS)
        unknown = await self.client.ask("unknown", calls=UNKNOWN_CALLS)
        return {**figures, REFUSED: p99(unknown["refusals"])}

    async def _offer(self, times: int, seconds: float) -> Figures:
        quick = self.run.quick
        answer = await self.client.ask(
            "offer",
            rate=self.rate * times,
            seconds=10.0 if quick else seconds,
            ramp_seconds=4.0 if quick else RAMP_SECONDS,
            deadline_seconds=DEADLINE_SECONDS,
        )
        if answer["others"]:
            raise WorkerFailedError(answer["others"][0])
        refusals = answer["refusals"] or [0.0]
        return {
            RATE: answer["goodput"],
            REFUSED: p99(refusals),
            "longest": max(refusals),
            "refused": len(answer["refusals"]),
            "late": answer["late"],
            "answered": answer["answered"],
        }

    def note(self, rounds: Rounds) -> str:
        """What became of the requests."""
        said = [f"{self.can:.0f} tokens/s in a closed loop"]
        for name, side in (("at five times", "ours"), ("at once", "floor")):
            kinds = ("answered", "late", "refused")
            parts = [f"{rounds.median(side, kind):.0f} {kind}" for kind in kinds]
            said.append(f"{name} {', '.join(parts)}")
        return "; ".join(said)


async def _dropped(run: Run, client: Client) -> Line:
    leaked = 0

    async def turn(streams: int) -> Figures:
        nonlocal leaked
        answer = await client.ask("drop", LONG_TOKENS, streams=streams)
        leaked += answer["leaked"]
        return {STOPPED: answer["stopped"], "freed": p99(answer["freed"])}

    contestants = {"ours": lambda: turn(run.pick(STREAMS, 20)), "floor": lambda: turn(1)}
    rounds = await run.interleaved(DROPPED, contestants, seconds=SECONDS["dropped"], steady=[])
    median = rounds.median("ours", STOPPED)
    ratio, low, high = rounds.ratio(STOPPED, "floor")
    goal = GOALS[DROPPED]
    return Entry(
        id=DROPPED,
        value=median,
        unit="ms",
        against="one stream dropped",
        ratio=ratio,
        goal=f"{goal.text('ms')}, leaked 0",
        met=goal.is_met(value=median, ratio=ratio) and not leaked,
        ci95=(low, high),
        note=f"{STREAMS} streams; slots free after {rounds.median('ours', 'freed'):.0f} ms (p99); "
        f"leaked slots {leaked}",
    )


def p99(series: Sequence[float]) -> float:
    """All but a hundredth are below it."""
    return float(np.percentile(series, 99))


GROUP = Group((GOODPUT, REFUSAL, DROPPED), measure, PREPARE_SECONDS + sum(SECONDS.values()))
