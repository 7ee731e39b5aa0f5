"""A training run on machines that are taken away every twenty seconds.

Goodput: seconds in steps whose result was kept, over seconds from the first claim to the success;
loading libraries and model again after each SIGTERM, saving and waiting are what is lost. Lost
steps, of each SIGTERM: the last step that was reported before it, less the step that the next
attempt went on from; none below 0. Steps are reported four times a second at most.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_progress, job_state
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.waiting import eventually

from tests.chaos.fleet import Fleet
from tests.chaos.plan import Plan
from tests.chaos.training_site import Site, TrainerPlace

LOOK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class PreemptionPlan:
    """One job of all weights, and one worker at a time."""

    every_seconds: float = 20.0
    steps: int = 20_000
    rows: int = 1500
    """A hundred passes of them are more than those steps."""
    within_seconds: float = 400.0


@dataclass(frozen=True)
class Preemptions:
    """What came of it."""

    every_seconds: float
    struck: int
    steps: int
    seconds: float
    """From the first claim to the success."""
    step_seconds: float
    """In steps that were kept."""
    lost_steps_p95: float
    longest_stop_seconds: float
    """From SIGTERM to the end of the process."""
    succeeded: bool

    @property
    def goodput(self) -> float:
        """Share of the time that went into steps which were kept."""
        return self.step_seconds / self.seconds

    @property
    def kept(self) -> bool:
        """Whether it came to its end, and no step was taken twice: a SIGTERM saves first."""
        return self.succeeded and self.struck > 0 and self.lost_steps_p95 <= 1


PLAN = PreemptionPlan()


async def train_on_spot(
    folder: Path, plan: PreemptionPlan = PLAN, on_strike: Callable[[int], None] = lambda _n: None
) -> Preemptions:
    """Run it in an empty folder; takes about three minutes."""
    workers = Plan(workers=1, claim_seconds=5.0)
    async with (
        run_nats(folder / "nats") as broker,
        Bus.connect(broker.url, broker.token, name="chaos") as bus,
    ):
        site = Site(bus, folder, plan.rows)
        await site.furnish()
        async with Fleet.running(broker.url, broker.token, workers, folder, TrainerPlace) as fleet:
            # No number of steps between checkpoints: the trainer chooses.
            job_id = await site.submit("full", plan.steps, 0, "spot")
            spot = _Spot(bus, fleet, job_id, plan)
            return await spot.run(on_strike)


class _Spot:
    def __init__(self, bus: Bus, fleet: Fleet, job_id: str, plan: PreemptionPlan) -> None:
        self._bus = bus
        self._fleet = fleet
        self._job_id = job_id
        self._plan = plan
        self._lost: list[int] = []
        self._stops: list[float] = []

    async def run(self, on_strike: Callable[[int], None]) -> Preemptions:
        await eventually(self._runs, within=self._plan.within_seconds)
        began = next_strike = time.monotonic()
        while time.monotonic() < began + self._plan.within_seconds:
            state = await self._state()
            if state.status == JOB_STATUS_SUCCEEDED:
                return self._outcome(state, time.monotonic() - began)
            if time.monotonic() >= next_strike + self._plan.every_seconds:
                next_strike += self._plan.every_seconds
                await self._strike()
                on_strike(len(self._stops))
            await asyncio.sleep(LOOK_SECONDS)
        return self._outcome(await self._state(), time.monotonic() - began)

    async def _runs(self) -> JobState | None:
        state = await self._state()
        return state if state.status == JOB_STATUS_RUNNING else None

    async def _strike(self) -> None:
        process = self._fleet.places[0].process
        told = time.monotonic()
        process.terminate()
        await asyncio.to_thread(process.wait)
        self._stops.append(time.monotonic() - told)
        reported = await self._reported()
        self._lost.append(max(0, reported - (await self._state()).checkpoint.step))

    async def _reported(self) -> int:
        done = 0
        async for stored in self._bus.replay([job_progress(self._job_id)]):
            if stored.body.phase == "train":
                done = max(done, stored.body.done)
        return done

    async def _state(self) -> JobState:
        stored = await self._bus.last(job_state(self._job_id), JobState)
        return stored.body if stored else JobState()

    def _outcome(self, state: JobState, seconds: float) -> Preemptions:
        summary = MessageToDict(state.result).get("summary", {})
        lost = quantiles(self._lost, n=20, method="inclusive")[-1] if len(self._lost) > 1 else 0.0
        return Preemptions(
            every_seconds=self._plan.every_seconds,
            struck=len(self._stops),
            steps=self._plan.steps,
            seconds=round(seconds, 1),
            step_seconds=round(float(summary.get("train_seconds", 0.0)), 1),
            lost_steps_p95=lost,
            longest_stop_seconds=round(max(self._stops, default=0.0), 1),
            succeeded=state.status == JOB_STATUS_SUCCEEDED,
        )
