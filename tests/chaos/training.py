"""Real training under faults: the weights must be those of a run that nobody disturbed."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_state
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.nats_server import NatsServer, run_nats

from tests.chaos.fleet import Fleet, Place
from tests.chaos.oracle import Verdict, judge, read_history
from tests.chaos.plan import BROKER, FREEZE, KILL, Plan
from tests.chaos.training_site import METHODS, Site, TrainerPlace

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 40.0
"""How long the next fault waits for all jobs to have saved since the last one."""

OnFault = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """One run: as many jobs and workers as there are methods."""

    faults: Mapping[str, int]
    steps: int = 400
    save_every: int = 8
    claim_seconds: float = 3.0
    undisturbed_seconds: float = 150.0
    disturbed_seconds: float = 420.0


PLAN = TrainingPlan(faults={KILL: 5, FREEZE: 5, BROKER: 3})


@dataclass(frozen=True)
class Trained:
    """One job under faults, beside its twin that nobody disturbed."""

    method: str
    steps: int
    attempts: int
    """Claims of it; 1 if no fault met it."""
    same_weights: bool
    """Whether every weights file has the twin's SHA-256."""
    same_losses: bool
    """Whether each step is there once, with the twin's loss."""


@dataclass(frozen=True)
class Training:
    """What struck, and what became of the jobs."""

    faults: Mapping[str, int]
    jobs: Sequence[Trained]
    verdict: Verdict
    """`wrong_artifacts`: jobs whose weights or losses are not their twin's."""
    zombies_refused: int
    undisturbed_seconds: float
    disturbed_seconds: float


async def train_under_faults(
    folder: Path, plan: TrainingPlan = PLAN, on_fault: OnFault = lambda _struck: None
) -> Training:
    """Run it in an empty folder; takes three minutes."""
    workers = Plan(workers=len(METHODS), claim_seconds=plan.claim_seconds)
    async with (
        run_nats(folder / "nats") as broker,
        Bus.connect(broker.url, broker.token, name="chaos") as bus,
    ):
        site = Site(bus, folder)
        await site.furnish()
        async with Fleet.running(broker.url, broker.token, workers, folder, TrainerPlace) as fleet:
            began = time.monotonic()
            twins = await _order(site, plan, "alone")
            await _all_ended(bus, twins.values(), plan.undisturbed_seconds)
            between = time.monotonic()
            jobs = await _order(site, plan, "disturbed")
            nemesis = _Nemesis(plan, broker, fleet, bus, list(jobs.values()))
            await nemesis.rage(on_fault)
            await _all_ended(bus, jobs.values(), plan.disturbed_seconds)
            ended = time.monotonic()
            await fleet.stop()
            refused = fleet.refused_zombies()
        trained = [
            _beside(site, method, plan.steps, await _state(bus, twin), await _state(bus, job))
            for (method, twin), job in zip(twins.items(), jobs.values(), strict=True)
        ]
        verdict = await _verdict(bus, [*twins.values(), *jobs.values()], trained)
    return Training(
        faults=dict(nemesis.struck),
        jobs=trained,
        verdict=verdict,
        zombies_refused=refused,
        undisturbed_seconds=round(between - began, 1),
        disturbed_seconds=round(ended - between, 1),
    )


async def _verdict(bus: Bus, job_ids: Sequence[str], trained: Sequence[Trained]) -> Verdict:
    history = await read_history(bus, dict.fromkeys(job_ids, 0))
    by_jobs = [ready for ready in history.announced if ready.job_id]  # not the base model
    wrong = sum(not (each.same_weights and each.same_losses) for each in trained)
    # The oracle knows no digest of a training beforehand; the twins do.
    return replace(judge(replace(history, announced=by_jobs)), wrong_artifacts=wrong)


async def _order(site: Site, plan: TrainingPlan, name: str) -> dict[str, str]:
    return {
        method: await site.submit(method, plan.steps, plan.save_every, f"{name}-{method}")
        for method in METHODS
    }


async def _all_ended(bus: Bus, job_ids: Iterable[str], within: float) -> None:
    """Until all have succeeded, or for so long: the oracle tells."""
    until, waited_for = time.monotonic() + within, list(job_ids)
    while time.monotonic() < until:
        states = [await _state(bus, job_id) for job_id in waited_for]
        if all(state.status == JOB_STATUS_SUCCEEDED for state in states):
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _state(bus: Bus, job_id: str) -> JobState:
    """An empty one before the first claim; waits for a broker that is away."""
    while True:
        try:
            stored = await bus.last(job_state(job_id), JobState)
        except UnavailableError:
            await asyncio.sleep(LOOK_SECONDS)
        else:
            return stored.body if stored else JobState()


def _beside(site: Site, method: str, steps: int, twin: JobState, job: JobState) -> Trained:
    made = [site.made(state.result.digest) if state.result.digest else {} for state in (twin, job)]
    (of_twin, of_job) = made
    losses = of_twin.pop("losses", []), of_job.pop("losses", [])
    whole = [step for step, _ in losses[1]] == list(range(1, steps + 1))
    return Trained(
        method=method,
        steps=steps,
        attempts=job.attempt,
        same_weights=bool(of_twin) and of_twin == of_job,
        same_losses=whole and losses[0] == losses[1],
    )


class _Nemesis:
    """Strikes all who hold a job at once, each time after every job has saved since the last."""

    def __init__(
        self, plan: TrainingPlan, broker: NatsServer, fleet: Fleet, bus: Bus, jobs: Sequence[str]
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._fleet = fleet
        self._bus = bus
        self._jobs = jobs
        self._dice = random.Random(1)
        self.struck: Counter[str] = Counter()

    async def rage(self, on_fault: OnFault) -> None:
        """Until all faults have struck and passed, or the jobs have ended."""
        async with asyncio.TaskGroup() as passing:
            for kinds in self._rounds():
                running = await self._all_saved()
                if not running:
                    return
                holders = self._holders_first(running)
                for kind, place in zip(kinds, holders, strict=False):
                    await self._strike(kind, place, passing)
                    on_fault(self.struck.total())

    def _rounds(self) -> list[list[str]]:
        """What strikes at once: something for each worker, or the broker alone."""
        kinds = [each for each in Counter(self._plan.faults).elements() if each != BROKER]
        self._dice.shuffle(kinds)
        count = len(self._fleet.places)
        rounds = [kinds[start : start + count] for start in range(0, len(kinds), count)]
        rounds += [[BROKER]] * self._plan.faults[BROKER]
        self._dice.shuffle(rounds)
        return rounds

    def _holders_first(self, running: Sequence[JobState]) -> list[Place]:
        def idle(place: Place) -> bool:
            return not any(place.holds(state.owner) for state in running)

        return sorted(self._fleet.places, key=idle)

    async def _strike(self, kind: str, place: Place, passing: asyncio.TaskGroup) -> None:
        if kind == BROKER:
            self._broker.kill()
            await asyncio.sleep(self._dice.uniform(0.1, 1.2))
            await self._broker.start()
        elif kind == KILL:
            place.kill()
        else:
            passing.create_task(self._freeze(place))
        self.struck[kind] += 1

    async def _all_saved(self) -> list[JobState]:
        """The jobs that still run, once each has saved once more than when this was asked."""
        before = await self._steps()
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            states = {each: await _state(self._bus, each) for each in self._jobs}
            running = {k: v for k, v in states.items() if v.status != JOB_STATUS_SUCCEEDED}
            saved = all(state.checkpoint.step > before[each] for each, state in running.items())
            if saved or time.monotonic() > until:
                return list(running.values())
            await asyncio.sleep(LOOK_SECONDS)

    async def _steps(self) -> dict[str, int]:
        return {each: (await _state(self._bus, each)).checkpoint.step for each in self._jobs}

    async def _freeze(self, place: Place) -> None:
        frozen = place.freeze()
        await asyncio.sleep(self._plan.claim_seconds * self._dice.uniform(1.5, 2.5))
        frozen.send_signal(signal.SIGCONT)
