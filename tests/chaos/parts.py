"""The parts of `make chaos`, each of which can be run alone."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.fsyncs import count_fsyncs
from tests.chaos.leader_kills import ClusterPlan, kill_leaders
from tests.chaos.one_key import submit_with_one_key
from tests.chaos.plan import Plan
from tests.chaos.report import Report
from tests.chaos.seed_run import SeedRun, run_seed
from tests.chaos.step_kills import MODES, STEPS, STRIKES, kill_each_step
from tests.chaos.training import PLAN as TRAINING_PLAN
from tests.chaos.training import train_under_faults
from tests.chaos.watchers import WatchPlan, watch_through_cuts

PLAN, CLUSTER_PLAN, WATCH_PLAN = Plan(), ClusterPlan(), WatchPlan()
SEED_SECONDS = 50.0
CONTROLS = 3
"""Seeds that the control may take."""

Tell = Callable[[int, int], None]
"""Told how much of a part is done, and of how much."""


@dataclass(frozen=True)
class Part:
    """What is run in an empty folder and leaves its outcome in the report."""

    name: str
    """As `--only` takes it; the seeds have one for all."""
    what: str
    """For the progress bar."""
    seconds: float
    """About what it takes on two cores."""
    run: Callable[[Report, Path, Tell], Awaitable[None]]


def parts(seeds: Sequence[int]) -> list[Part]:
    """All of them, in the order in which they run."""
    return [
        Part("one-key", "one key", 20, _one_key),
        Part("fsyncs", "fsyncs", 4, _fsyncs),
        Part("leaders", "leader kills", 60, _leader_kills),
        Part("watchers", "watchers", 70, _watchers),
        Part("training", "real training", 180, _training),
        Part("steps", "a kill at each step", 240, _steps),
        *(Part("seeds", f"seed {seed}", SEED_SECONDS, _Seed(seed)) for seed in seeds),
        Part(
            "control",
            "control without compare-and-set",
            SEED_SECONDS,
            _Control(seeds[0] if seeds else 1),
        ),
    ]


async def _one_key(report: Report, folder: Path, _tell: Tell) -> None:
    report.one_key = await submit_with_one_key(folder)


async def _fsyncs(report: Report, folder: Path, _tell: Tell) -> None:
    report.fsyncs = await count_fsyncs(folder)


async def _leader_kills(report: Report, folder: Path, tell: Tell) -> None:
    report.leader_kills = await kill_leaders(
        folder, CLUSTER_PLAN, lambda acked: tell(acked, CLUSTER_PLAN.publishes)
    )


async def _watchers(report: Report, folder: Path, tell: Tell) -> None:
    report.watchers = await watch_through_cuts(
        folder, WATCH_PLAN, lambda struck: tell(struck, WATCH_PLAN.faults)
    )


async def _training(report: Report, folder: Path, tell: Tell) -> None:
    total = sum(TRAINING_PLAN.faults.values())
    report.training = await train_under_faults(
        folder, TRAINING_PLAN, lambda struck: tell(struck, total)
    )


async def _steps(report: Report, folder: Path, tell: Tell) -> None:
    total = STEPS * len(STRIKES) * len(MODES)
    report.step_kills = await kill_each_step(folder, lambda done: tell(done, total))


@dataclass(frozen=True)
class _Seed:
    seed: int

    async def __call__(self, report: Report, folder: Path, tell: Tell) -> None:
        report.seeds.append(await _run(PLAN, self.seed, folder, tell))


@dataclass(frozen=True)
class _Control:
    seed: int

    async def __call__(self, report: Report, folder: Path, tell: Tell) -> None:
        """Until a zombie wrote: on a slow machine few live to see their job again."""
        heedless = replace(PLAN, compare_and_set=False)
        for seed in range(self.seed, self.seed + CONTROLS):
            place = folder / str(seed)
            place.mkdir()
            report.control = await _run(heedless, seed, place, tell)
            if report.control.verdict.unfenced_writes:
                return


async def _run(plan: Plan, seed: int, folder: Path, tell: Tell) -> SeedRun:
    return await run_seed(plan, seed, folder, lambda struck: tell(struck, plan.faults))


NAMES = tuple(dict.fromkeys(part.name for part in parts([1])))
