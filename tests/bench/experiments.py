"""experiments.*: how often experiments decide wrongly, and after how many keys they decide.

    python -m tests.bench.experiments [--only GROUP ...] [--keep]

Simulated traffic (`simulated_answers`): answers of a key resemble each other, and both arms drift.
No figure is a time, so the machine may be busy.

`experiments.false.METRIC`: of 10,000 A/A runs of 1,500 keys, the share in which the candidate is
promoted; decisions are looked at after every key, and change with nothing else. Beside it, on the
same answers: a z-test looked at after every answer (1.96), and Gaussian track-and-stop as
TensorZero documents it (delta 0.05), which take answers for independent.
`experiments.keys.N`: keys to a promotion at +N points, median of 200 runs; over what a test with a
fixed horizon takes for a power of 80 % at the same chance of error. `experiments.kayenta`: of 100
canaries whose answers take 100 times as long in 70 % of cases, those that are rolled back.
`experiments.rollback.METRIC`: of 100 versions that turn worse after their promotion, those that are
rolled back within 10,000 keys, of which a tenth are the version's before.
`experiments.false_rollback`: of 1,000 such watches of a version that is as good, those rolled back.
`--keep` writes deploy/bench/learning.json in place of the entries of the same ids.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from modelmill_experiments.plan import BASE, Plan
from modelmill_experiments.sequential_test import Decision, SequentialTest, Unit, Verdict

from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups
from tests.bench.simulated_answers import LEANING, NEW, Arms, binary, bounded, skewed

RESULT = Path("deploy/bench/learning.json")
ALPHA = 0.05
EVEN_RUNS, EVEN_KEYS = 10_000, 1_500
EFFECT_RUNS, EFFECT_KEYS = 200, 60_000
WATCH_RUNS, HEALTHY_RUNS, WATCH_KEYS, HOLDBACK = 100, 1_000, 10_000, 0.1
FIRST_LOOK = 100
"""Answers before a rival first looks."""
KINDS = {
    "binary": Arms("satisfaction", binary, 0.7),
    "bounded": Arms("satisfaction", bounded, 0.6),
    "skewed": Arms("cost", skewed, 100.0),
}
WATCHED = ("total_seconds", "block_rate", "cost")


class EvenRun(NamedTuple):
    """Who promoted a candidate that is as good as the base."""

    ours: bool
    peeked: bool
    track_and_stop: bool


def decided(plan: Plan, keys: Sequence[Unit] | None, arms: Arms, seed: int) -> Decision:
    """The last decision of an experiment that runs to its end."""
    experiment = SequentialTest(plan)
    source = iter(keys) if keys is not None else arms.keys(seed)
    while not experiment.ended:
        experiment.apply(next(source))
    return experiment.decisions[-1]


def even_run(kind: str, seed: int) -> EvenRun:
    """An A/A run."""
    arms = KINDS[kind]
    keys = list(islice(arms.keys(seed), EVEN_KEYS))
    plan = Plan(arms.shares, arms.metric, alpha=ALPHA, horizon=EVEN_KEYS)
    ours = decided(plan, keys, arms, seed).verdict is Verdict.PROMOTE
    sign = -1.0 if arms.metric == "cost" else 1.0
    return EvenRun(ours, *_rivals(keys, arms.metric, sign))


def _rivals(keys: Sequence[Unit], metric: str, sign: float) -> tuple[bool, bool]:
    """Whether the peeked z-test and track-and-stop ever find the candidate better."""
    count, total, squares = [0, 0], [0.0, 0.0], [0.0, 0.0]
    peeked = stopped = False
    for unit in keys:
        arm = int(unit.arm == NEW)
        for value in unit.values[metric]:
            count[arm] += 1
            total[arm] += value
            squares[arm] += value * value
            if min(count) < 2 or sum(count) < FIRST_LOOK:
                continue
            means = [total[each] / count[each] for each in (0, 1)]
            spread = sum(
                max(squares[each] / count[each] - means[each] ** 2, 1e-12) / count[each]
                for each in (0, 1)
            )
            z = sign * (means[1] - means[0]) / math.sqrt(spread)
            peeked = peeked or z > 1.96
            limit = math.log((1 + math.log(sum(count))) / ALPHA)
            stopped = stopped or (z > 0 and z * z / 2 > limit)
    return peeked, stopped


def false_entries() -> list[Entry]:
    """A/A runs."""
    found = []
    with ProcessPoolExecutor(2) as processes:
        for kind in KINDS:
            runs = list(processes.map(partial(even_run, kind), range(EVEN_RUNS), chunksize=50))
            shares = {name: sum(each) / EVEN_RUNS for name, each in _columns(runs).items()}
            low, high = wilson(shares["ours"], EVEN_RUNS)
            found.append(
                Entry(
                    *(f"experiments.false.{kind}", shares["ours"], "share promoted"),
                    *("alpha", shares["ours"] / ALPHA, "upper bound <= 1", high <= ALPHA),
                    *((low / ALPHA, high / ALPHA),),
                    f"{EVEN_RUNS} A/A runs of {EVEN_KEYS} keys; on the same answers a z-test "
                    f"looked at after each promotes in {shares['peeked']:.3f}, track-and-stop in "
                    f"{shares['track_and_stop']:.3f}",
                )
            )
    return found


def _columns(runs: Sequence[EvenRun]) -> Mapping[str, Sequence[bool]]:
    return {name: [getattr(run, name) for run in runs] for name in EvenRun._fields}


def wilson(share: float, runs: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z / (1 + z * z / runs) * math.sqrt(share * (1 - share) / runs + (z / runs / 2) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)


def effect_run(points: int, seed: int) -> tuple[bool, int]:
    """Whether a candidate that is better by so many points was promoted, and after which key."""
    arms = Arms("satisfaction", binary, 0.7, effect=points / 100)
    plan = Plan(arms.shares, arms.metric, alpha=ALPHA, horizon=EFFECT_KEYS)
    decision = decided(plan, None, arms, seed)
    return decision.verdict is Verdict.PROMOTE, decision.keys


def keys_entries() -> list[Entry]:
    """How soon a better candidate is promoted."""
    found = []
    with ProcessPoolExecutor(2) as processes:
        for points in (2, 5, 10):
            runs = list(processes.map(partial(effect_run, points), range(EFFECT_RUNS), chunksize=5))
            keys = sorted(at for promoted, at in runs if promoted)
            fixed = _fixed_horizon(points / 100)
            spread = [keys[int(len(keys) * part)] / fixed for part in (0.1, 0.9)]
            found.append(
                Entry(
                    *(f"experiments.keys.{points}", median(keys), "keys", "fixed horizon"),
                    *(median(keys) / fixed, "", None, (spread[0], spread[1])),
                    f"{len(keys)} of {EFFECT_RUNS} promoted, ci95 is the 10 and 90 % quantile of "
                    f"runs; a fixed horizon takes {fixed:.0f} keys for a power of 80 %",
                )
            )
    return found


def _fixed_horizon(effect: float) -> float:
    """Keys of both arms that a z-test of key means takes: one-sided 2.5 %, power 80 %."""
    means = []
    for unit in islice(Arms("satisfaction", binary, 0.7).keys(0), 20_000):
        values = unit.values["satisfaction"]
        means.append(sum(values) / len(values))
    mean = sum(means) / len(means)
    variance = sum((each - mean) ** 2 for each in means) / len(means)
    return 4 * variance * (1.96 + 0.8416) ** 2 / effect**2


class Worse(NamedTuple):
    """How a version turns worse after its promotion."""

    said: str
    worse: Callable[[Random], Mapping[str, float]]


def _healthy(draw: Random) -> dict[str, float]:
    """What an answer of a good version is like."""
    return {
        "satisfaction": float(draw.random() < 0.8),
        "total_seconds": draw.lognormvariate(0.0, 0.5),
        "block_rate": float(draw.random() < 0.02),
        "cost": draw.lognormvariate(4.0, 0.6),
    }


REGRESSIONS: Mapping[str, Worse] = {
    "quality": Worse(
        "satisfaction 80 to 65 %",
        lambda draw: _healthy(draw) | {"satisfaction": float(draw.random() < 0.65)},
    ),
    "latency": Worse(
        "half of the answers take three times as long",
        lambda draw: _slower(_healthy(draw), draw),
    ),
    "block_rate": Worse(
        "2 to 15 % are blocked",
        lambda draw: _healthy(draw) | {"block_rate": float(draw.random() < 0.15)},
    ),
    "cost": Worse("costs twice as much", lambda draw: _dearer(_healthy(draw))),
}


def _slower(answer: dict[str, float], draw: Random) -> dict[str, float]:
    if draw.random() < 0.5:
        answer["total_seconds"] *= 3
    return answer


def _dearer(answer: dict[str, float]) -> dict[str, float]:
    answer["cost"] *= 2
    return answer


def watch_run(regression: str, seed: int) -> Decision:
    """What comes of a version that was promoted, by its name in `REGRESSIONS`, or of a good one."""
    draw = Random(seed)
    answer = REGRESSIONS[regression].worse if regression else _healthy
    plan = Plan(
        {BASE: HOLDBACK, NEW: 1 - HOLDBACK},
        "satisfaction",
        WATCHED,
        alpha=ALPHA,
        horizon=WATCH_KEYS,
        may_promote=False,
    )
    experiment = SequentialTest(plan)
    while not experiment.ended:
        is_new = draw.random() >= HOLDBACK
        leaning = draw.random() < LEANING
        said = (answer if is_new else _healthy)(draw)
        if leaning:
            said = dict(said) | {"satisfaction": 1.0}
        values = {name: [value] for name, value in said.items()}
        experiment.apply(Unit(NEW if is_new else BASE, values | {"errors": [0.0]}))
    return experiment.decisions[-1]


def rollback_entries() -> list[Entry]:
    """Versions that turn worse, and good ones, while they are watched."""
    with ProcessPoolExecutor(2) as processes:
        found = [_rollbacks(name, processes) for name in REGRESSIONS]
        runs = list(processes.map(partial(watch_run, ""), range(HEALTHY_RUNS), chunksize=10))
    wrong = sum(run.verdict is Verdict.ROLL_BACK for run in runs) / HEALTHY_RUNS
    low, high = wilson(wrong, HEALTHY_RUNS)
    note = f"{HEALTHY_RUNS} healthy watches of {WATCH_KEYS} keys, five metrics each"
    goal = ("upper bound <= 1", high <= ALPHA, (low / ALPHA, high / ALPHA), note)
    false = ("experiments.false_rollback", wrong, "share rolled back", "alpha", wrong / ALPHA)
    return [*found, Entry(*false, *goal)]


def _rollbacks(name: str, processes: ProcessPoolExecutor) -> Entry:
    runs = list(processes.map(partial(watch_run, name), range(WATCH_RUNS), chunksize=5))
    keys = sorted(run.keys for run in runs if run.verdict is Verdict.ROLL_BACK)
    share = len(keys) / WATCH_RUNS
    median_keys = f"{median(keys):.0f}" if keys else "none"
    return Entry(
        *(f"experiments.rollback.{name}", len(keys), f"of {WATCH_RUNS} rolled back", "all"),
        *(share, ">= 0.99", share >= 0.99, wilson(share, WATCH_RUNS)),
        f"{REGRESSIONS[name].said}; within {WATCH_KEYS} keys, {HOLDBACK:.0%} held back; after "
        f"{median_keys} keys (median), {keys[-1] if keys else 0} at most",
    )


def kayenta_run(seed: int) -> Decision:
    """A canary of which 70 % of the answers take 100 times as long (spinnaker 6278)."""
    draw = Random(seed)
    plan = Plan({BASE: 0.5, NEW: 0.5}, "satisfaction", ("total_seconds",), alpha=ALPHA)
    experiment = SequentialTest(plan)
    while not experiment.ended:
        is_new = draw.random() < 0.5
        seconds = draw.lognormvariate(0.0, 0.3) * (100 if is_new and draw.random() < 0.7 else 1)
        said = {"satisfaction": [float(draw.random() < 0.8)], "errors": [0.0]}
        experiment.apply(Unit(NEW if is_new else BASE, said | {"total_seconds": [seconds]}))
    return experiment.decisions[-1]


def kayenta_entries() -> list[Entry]:
    """A canary that Kayenta passes."""
    runs = [kayenta_run(seed) for seed in range(WATCH_RUNS)]
    keys = [run.keys for run in runs if run.verdict is Verdict.ROLL_BACK]
    share = len(keys) / WATCH_RUNS
    return [
        Entry(
            *("experiments.kayenta", len(keys), f"of {WATCH_RUNS} rolled back", "all", share),
            *("all", share == 1, wilson(share, WATCH_RUNS)),
            f"after {median(keys):.0f} keys (median), of which the ruler takes about 200",
        )
    ]


def main() -> int:
    """Exit status 1 when a goal is missed."""
    groups = {
        "kayenta": kayenta_entries,
        "keys": keys_entries,
        "rollback": rollback_entries,
        "false": false_entries,
    }
    return run_groups("tests.bench.experiments", groups, RESULT)


if __name__ == "__main__":
    sys.exit(main())
