"""accuracy.<what>: whether what data-prep does to rows makes the model that learns them better.

`accuracy.dedup`, `.augment`, `.curriculum.staged` and `.curriculum.competence`. Value: share of the
held-out rows of which a model trained with that step finds the true label the likeliest of all
labels (`libs/evaluation`, asked by the trainer before it saves). Ratio: over the same share of a
model trained without it, same rows, same run; duplicates are taken out on both sides but for
`accuracy.dedup`, whose other side keeps all rows. There is no goal: a step that does not help shows
a ratio of 1 or less, and the note gives the difference with its interval.

Sample: nouns (BENCH_DATA's, else the demo's), word and gloss to one of 25 kinds. A seed draws them;
data-prep frees them of duplicates, exact and near (0.8), and holds test rows out, which no row of
train is near to. To the rows of train copies are added until they are 30 % of the file: half of
them equal, half with 2 % of the characters of the gloss otherwise, all with the true label. That
file is what each arm is given, and the held-out rows as an evaluation file:
`modelmill_data_prep.child` makes its dataset (dedup at 0.8; synonyms asked for of half the rows, of
which the note says how many were made; the order of train), and `modelmill_trainer.child` trains
the demo's base (SmolLM2-135M) by the demo's LoRA recipe. All arms take the same number of full
optimizer steps, two passes of the distinct rows, whatever their own number of rows; tokens read are
in the note. So an arm with copies sees some rows more often and others less, and one with made rows
sees fewer of the given ones twice. Near copies that dedup does not find stay in all arms but the
first, and the second pass ends as many rows early: the hardest ones, where rows are staged.

Sizes: 256 distinct rows, 32 steps of 16, 200 test rows. A share of 0.7 then has a binomial 95 %
interval of +- 0.064. Two models are compared on the same rows, so the interval of their difference
is taken by resampling rows in pairs; it speaks of the choice of test rows, not of the seed. One
seed in the bench. More by hand, each with rows, copies, test rows and order of its own:

    python -m tests.bench.data_accuracy --seeds 3

Trainers have one thread each, and as many arms as there are cores are trained at a time.
One measurement, no rounds and no floor: these are counts, which a busy machine does not change.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from modelmill_evaluation.intervals import Interval, accuracy, paired_difference
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench.accuracy_arms import ARMS, BY_NAME, Arm, arms_for
from tests.bench.accuracy_trial import Score, Size, begin, score
from tests.bench.built_model import built_model
from tests.bench.figures import RESAMPLES, Entry, Line
from tests.bench.harness import Group, Run
from tests.bench.prep_jobs import few_cores
from tests.bench.prep_rows import VARIABLE

PREFIX = "accuracy."
IDS = tuple(f"{PREFIX}{arm.name}" for arm in ARMS if arm.over)
FULL, QUICK = Size(train_rows=256, test_rows=200), Size(train_rows=48, test_rows=20)
SEED = 1
ARM_SECONDS = 90.0
"""Of two cores."""


async def measure(run: Run) -> list[Line]:
    """The entries that are wanted, of one seed."""
    names = [one.removeprefix(PREFIX) for one in IDS if one in run.wanted]
    scores = await scores_of(run, SEED, names)
    return [line_of(BY_NAME[name], scores) for name in names]


async def scores_of(run: Run, seed: int, names: Sequence[str]) -> dict[str, Score]:
    """By name the scores of these arms and of those that they are compared with.

    Raises:
        WorkerFailedError: A child failed.
    """
    base = (await built_model(run)).base.absolute()
    size = FULL if not run.quick else QUICK
    with TemporaryDirectory() as place, few_cores() as cores:
        run.say(f"{PREFIX[:-1]}: seed {seed}: rows")
        trial = await begin(seed, size, base, _made(Path(place) / "trial"))
        at_a_time, done = asyncio.Semaphore(cores), 0

        async def scored(arm: Arm) -> tuple[str, Score]:
            nonlocal done
            async with at_a_time:
                found = await score(trial, arm, _made(Path(place) / arm.name))
            done += 1
            run.say(f"{PREFIX[:-1]}: seed {seed}: {done} of {len(arms_for(names))} arms")
            return arm.name, found

        return dict(await _together([scored(arm) for arm in arms_for(names)]))


async def _together(
    works: Sequence[Coroutine[Any, Any, tuple[str, Score]]],
) -> list[tuple[str, Score]]:
    """What all of them give; when one fails none goes on."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def line_of(arm: Arm, scores: Mapping[str, Score]) -> Entry:
    """The entry of an arm over the one that it differs from in one thing."""
    ours, other = scores[arm.name], scores[arm.over]
    ratio, low, high = paired_ratio(ours.correct, other.correct)
    return Entry(
        id=f"{PREFIX}{arm.name}",
        value=mean(ours.correct),
        unit="of test rows",
        against="without it" if arm.over != ARMS[0].name else "all copies kept",
        ratio=ratio,
        goal="",
        met=None,
        ci95=(low, high),
        note=_note(ours, other),
    )


def _note(ours: Score, other: Score) -> str:
    difference = paired_difference(ours.correct, other.correct)
    made = f" ({ours.made_rows} made)" if ours.made_rows else ""
    return (
        f"{_points(difference)} points; {_shares(accuracy(ours.correct))} over "
        f"{_shares(accuracy(other.correct))} of {len(ours.correct)} test rows, base model "
        f"{mean(ours.base_correct):.3f}; {ours.train_rows} rows of train{made} over "
        f"{other.train_rows}, {ours.steps} steps, {ours.tokens:,} tokens over {other.tokens:,}; "
        f"one seed; {_origin()}"
    )


def _origin() -> str:
    return f"files of {VARIABLE}" if VARIABLE in os.environ else "the demo's sample"


def paired_ratio(ours: Sequence[bool], other: Sequence[bool]) -> tuple[float, float, float]:
    """Right answers of ours over the other's, and its interval by resampling rows in pairs.

    The other counts as having one right at least, so that there is a ratio.
    """
    rows = np.random.default_rng(0).integers(0, len(ours), size=(RESAMPLES, len(ours)))
    right, right_other = (np.asarray(one, np.int64)[rows].sum(axis=1) for one in (ours, other))
    low, high = np.quantile(right / np.maximum(right_other, 1), (0.025, 0.975))
    return sum(ours) / max(sum(other), 1), float(low), float(high)


def _shares(interval: Interval) -> str:
    return f"{interval.mean:.3f} ({interval.low:.3f} .. {interval.high:.3f})"


def _points(interval: Interval) -> str:
    return "{:+.1f} ({:+.1f} .. {:+.1f})".format(
        *(100 * one for one in (interval.mean, interval.low, interval.high))
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def seeds_table(by_seed: Mapping[int, Mapping[str, Score]]) -> Table:
    """Accuracy of every arm by seed, and the paired difference over the rows of all seeds."""
    table = Table("arm", *(f"seed {seed}" for seed in by_seed), "mean", "rows", "over", "points")
    for arm in ARMS:
        scores = [scores[arm.name] for scores in by_seed.values()]
        shares = [mean(one.correct) for one in scores]
        points = ""
        if arm.over:
            others = [scores[arm.over] for scores in by_seed.values()]
            points = _points(paired_difference(_joined(scores), _joined(others)))
        rows = "/".join(str(one.train_rows) for one in scores)
        cells = (*(f"{share:.3f}" for share in shares), f"{mean(shares):.3f}")
        table.add_row(arm.name, *cells, rows, arm.over, points)
    return table


def _joined(scores: Sequence[Score]) -> list[bool]:
    return [one for score in scores for one in score.correct]


async def _by_hand(seeds: Sequence[int], quick: bool, console: Console) -> None:
    names = [arm.name for arm in ARMS]
    by_seed: dict[int, dict[str, Score]] = {}
    columns = (TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress:
        run = Run(progress, progress.add_task("", total=None), quick=quick)
        for seed in seeds:
            by_seed[seed] = await scores_of(run, seed, names)
            for arm in ARMS[1:]:
                console.print(f"seed {seed} {arm.name}: {line_of(arm, by_seed[seed]).note}")
    console.print(seeds_table(by_seed))


def main() -> int:
    """Print all arms of so many seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.data_accuracy")
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    parser.add_argument(
        "--first", type=int, default=SEED, help="the first; the rest follow (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="few rows: does it run?")
    chosen = parser.parse_args()
    if chosen.seeds < 1:
        parser.error("--seeds must be at least 1")
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    asyncio.run(_by_hand(seeds, chosen.quick, Console()))
    return 0


GROUP = Group(IDS, measure, len(ARMS) * ARM_SECONDS)

if __name__ == "__main__":
    sys.exit(main())
