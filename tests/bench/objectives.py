"""objectives.*: searches for objectives, beside a measurement of every candidate of one model.

    python -m tests.bench.objectives --model FOLDER [--dataset FOLDER --choices A B] [--keep]
    python -m tests.bench.objectives --tiny           a random model of two layers: does it run?

Every candidate is built once by the product's own child and measured in `--rounds`, each time in a
fresh process. From that table objectives are generated: within 5 % of the frontier on both sides,
between candidates, beyond all of them, and impossible ones. Each is searched for: by the product's
search, with Optuna and its cost model, on the table's builds and on half of its rounds, which
chance draws anew for each search. The first search knows of no earlier ones; each later one has the
reports of those before, as in production.

`objectives.correct`: share of verdicts that are those of the whole table, by its values; its note
has the share by the rounds that each search saw, which differ from the others by noise alone.
`objectives.difference`: search over re-measurement of the chosen point's figure, by the rounds that
the search did not see, so that a slower hour of the machine meets both. The mean of the logarithms
and its 99.5 % interval (bootstrap), which shall hold 0.
`objectives.time`: seconds of a search as a share of those of all candidates, the mean.
Figures are times, so the machine must be idle. `--keep` writes deploy/bench/forms.json, in place of
the entries of the same ids. Builds and rounds stay in `--work`: a run that broke off goes on.
"""

import argparse
import asyncio
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelmill_optimizer_builder.adapters.weight_headers import count_weights
from modelmill_optimizer_builder.domain.bounds import WeightCounts
from modelmill_optimizer_builder.domain.cost_model import EarlierPoint
from modelmill_optimizer_builder.domain.measurements import quantile
from modelmill_optimizer_builder.domain.objectives import Load, MeasuredObjective
from modelmill_optimizer_builder.search_forms import REPEATS
from modelmill_testkit.models import make_tiny_llama
from rich.console import Console

from tests.bench.figures import Entry
from tests.bench.kept_entries import keep_entries
from tests.bench.objectives_search import (
    Found,
    generated,
    is_exact,
    searched,
    truth,
    whole_points,
)
from tests.bench.objectives_table import Row, Subject, halves, measured_table, seconds_of
from tests.bench.report import show

RESULT = Path("deploy/bench/forms.json")
LEAST_OBJECTIVES = 30
RESAMPLES = 10_000
TAILS = (0.0025, 0.9975)
EARLIER_SEARCHES = 16


async def measured(subject: Subject, rounds: int) -> list[Entry]:
    """The three entries."""
    table = await measured_table(subject, rounds)
    weights = count_weights(subject.model)
    points = whole_points(table, subject.load)
    objectives = generated(points)
    found = await _all_searched(table, objectives, weights, subject.load)
    verdicts = [truth(points, objective, weights, subject.load) for objective in objectives]
    for objective, one, wanted in zip(objectives, found, verdicts, strict=True):
        said = "" if one.verdict == wanted else f", and the table says {wanted}"
        print(f"{objective.words()}: {one.verdict}{said}, {one.seconds:.0f} s")
    ratios = [
        math.log(one.chosen.value / one.again.value)
        for objective, one in zip(objectives, found, strict=True)
        if one.chosen is not None and one.again is not None and not is_exact(objective)
    ]
    return [
        _correct(found, verdicts),
        *([_difference(ratios)] if ratios else []),
        _time(found, seconds_of([*table.values()], REPEATS)),
    ]


async def _all_searched(
    table: Mapping[str, Row],
    objectives: Sequence[MeasuredObjective],
    weights: WeightCounts,
    load: Load,
) -> list[Found]:
    """Searches in an order that chance chose, each with the reports of those before it."""
    order = list(range(len(objectives)))
    drawn = random.Random(0)
    drawn.shuffle(order)
    found: dict[int, Found] = {}
    reports: list[list[EarlierPoint]] = []
    for number in order:
        earlier = [point for report in reports[-EARLIER_SEARCHES:] for point in report]
        seen, unseen = halves(table, drawn)
        one = await searched(seen, unseen, objectives[number], weights, load, earlier)
        found[number] = one
        if one.report is not None:
            reports.append(EarlierPoint.of_report(one.report.as_json()))
    return [found[number] for number in range(len(objectives))]


def _correct(found: Sequence[Found], verdicts: Sequence[str]) -> Entry:
    right = [one.verdict == wanted for one, wanted in zip(found, verdicts, strict=True)]
    share = statistics.mean(right)
    kinds = ", ".join(f"{verdicts.count(word)} {word}" for word in sorted(set(verdicts)))
    by_seen = statistics.mean(one.verdict == one.by_seen for one in found)
    return Entry(
        id="objectives.correct",
        value=share,
        unit="share of verdicts",
        against="the verdict of a measurement of all candidates",
        ratio=share,
        goal=f"at least {LEAST_OBJECTIVES} objectives",
        met=len(found) >= LEAST_OBJECTIVES,
        ci95=_resampled([float(it) for it in right], (0.025, 0.975)),
        note=f"{len(found)} objectives: {kinds}; {by_seen:.3f} by the rounds that a search saw",
    )


def _difference(ratios: Sequence[float]) -> Entry:
    low, high = _resampled(ratios, TAILS)
    mean = statistics.mean(ratios)
    return Entry(
        id="objectives.difference",
        value=mean,
        unit="mean logarithm of search over re-measurement",
        against="the chosen point in fresh processes, in rounds that the search did not see",
        ratio=math.exp(mean),
        goal="the 99.5 % interval holds 0",
        met=low <= 0 <= high,
        ci95=_resampled(ratios, (0.025, 0.975)),
        note=f"{len(ratios)} points; 99.5 % interval {low:+.4f} to {high:+.4f}",
    )


def _time(found: Sequence[Found], exhaustive: float) -> Entry:
    shares = [one.seconds / exhaustive for one in found]
    mean = statistics.mean(shares)
    return Entry(
        id="objectives.time",
        value=mean,
        unit="share of the exhaustive time",
        against=f"all candidates, {exhaustive:.0f} s",
        ratio=mean,
        goal="<= 0.5",
        met=mean <= 0.5,
        ci95=_resampled(shares, (0.025, 0.975)),
        note=f"the longest took {max(shares):.2f} of it",
    )


def _resampled(values: Sequence[float], tails: tuple[float, float]) -> tuple[float, float]:
    """Interval of the mean, by the bootstrap."""
    generator = random.Random(0)
    drawn = [statistics.fmean(generator.choices(values, k=len(values))) for _ in range(RESAMPLES)]
    return quantile(drawn, tails[0]), quantile(drawn, tails[1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.objectives")
    parser.add_argument("--model", type=Path, help="Hugging Face folder")
    parser.add_argument("--tiny", action="store_true", help="a random model in place of one")
    parser.add_argument("--dataset", type=Path, help="folder with test.jsonl and train.jsonl")
    parser.add_argument("--choices", nargs="+", default=[], help="answers of its rows")
    parser.add_argument("--max-rows", type=int, default=0, help="scored rows; 0 for all")
    parser.add_argument("--forms", nargs="+", help="candidates; all that are served by default")
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2 * REPEATS, help="an even number")
    parser.add_argument("--work", type=Path, default=Path("build/bench/objectives"))
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    return parser


def main() -> int:
    """Status 1 when a goal is missed."""
    parser = _parser()
    given = parser.parse_args()
    if given.rounds < 2 or given.rounds % 2:
        parser.error("--rounds is shared out in halves. Give an even number")
    with tempfile.TemporaryDirectory(prefix="objectives-") as scratch:
        model = make_tiny_llama(Path(scratch) / "tiny") if given.tiny else given.model
        if model is None:
            print("give --model FOLDER or --tiny", file=sys.stderr)
            return 2
        load = Load(16, 8, given.in_flight) if given.tiny else Load(in_flight=given.in_flight)
        work = Path(scratch) / "work" if given.tiny else given.work
        subject = Subject(model, given.dataset, tuple(given.choices), given.max_rows, load, work)
        if given.forms:
            subject = replace(subject, forms=tuple(given.forms))
        lines = asyncio.run(measured(subject, given.rounds))
    show(lines, Console())
    if given.keep:
        keep_entries(lines, RESULT)
    return 0 if all(line.met is not False for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
