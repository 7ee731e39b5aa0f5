"""`make chaos`: seeds of faults, the control, one key, fsyncs; a table, and build/chaos.json."""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.chaos import report as reporting
from tests.chaos.fsyncs import count_fsyncs
from tests.chaos.one_key import submit_with_one_key
from tests.chaos.plan import Plan
from tests.chaos.seed_run import SeedRun, run_seed
from tests.run_record import NotWorthKeepingError, save

RESULT, KEPT = Path("build/chaos.json"), Path("deploy/chaos/last.json")
PLAN = Plan()
DRAIN, ONE_KEY, FSYNCS = 6, 30, 5
"""How long these take, in faults of a seed."""


class Bar:
    """The progress bar; a unit is one fault."""

    def __init__(self, progress: Progress, seeds: int) -> None:
        total = (seeds + 1) * (PLAN.faults + DRAIN) + ONE_KEY + FSYNCS
        self._progress = progress
        self._task = progress.add_task("", total=total)
        self._reached = 0

    def begin(self, what: str) -> Callable[[int], None]:
        """Say what is being done; what is returned is told how many faults have struck."""
        reached = self._reached
        self._progress.update(self._task, description=what)
        return lambda struck: self._progress.update(self._task, completed=reached + struck)

    def end(self, units: int) -> None:
        """What was begun has taken this much."""
        self._reached += units
        self._progress.update(self._task, completed=self._reached)


def main() -> int:
    """Exit status 0 when every promise held and the control's did not."""
    asked, console = _arguments(), Console()
    # The broker goes away a hundred times; each is told once too often.
    logging.getLogger("jobs").addHandler(logging.NullHandler())
    columns = (
        *(BarColumn(20), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
        TextColumn("{task.description}"),
    )
    report = reporting.Report()
    with Progress(*columns, console=console, speed_estimate_period=120) as progress:
        seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
        asyncio.run(_run(report, seeds, Bar(progress, asked.seeds)))
    reporting.show(report, console)
    save(reporting.document(report), RESULT)
    if asked.keep:
        try:
            reporting.keep(report, KEPT)
        except NotWorthKeepingError as error:
            console.print(f"[red]{error}[/red]")
            return 1
    return 1 if report.broken_promises() else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=reporting.SEEDS, help="how many (%(default)s)")
    parser.add_argument("--first-seed", type=int, default=1, help="the rest follow (%(default)s)")
    parser.add_argument("--keep", action="store_true", help=f"copy a complete run to {KEPT}")
    return parser.parse_args()


async def _run(report: reporting.Report, seeds: range, bar: Bar) -> None:
    with tempfile.TemporaryDirectory(prefix="modelmill-chaos-") as folder:
        bar.begin("one key")
        report.one_key = await submit_with_one_key(Path(folder))
        bar.end(ONE_KEY)
    with tempfile.TemporaryDirectory(prefix="modelmill-chaos-") as folder:
        bar.begin("fsyncs")
        report.fsyncs = await count_fsyncs(Path(folder))
        bar.end(FSYNCS)
    for seed in seeds:
        report.seeds.append(await _seed(PLAN, seed, f"seed {seed}", bar))
    heedless = replace(PLAN, compare_and_set=False)
    report.control = await _seed(heedless, seeds.start, "control without compare-and-set", bar)


async def _seed(plan: Plan, seed: int, what: str, bar: Bar) -> SeedRun:
    with tempfile.TemporaryDirectory(prefix="modelmill-chaos-") as folder:
        run = await run_seed(plan, seed, Path(folder), bar.begin(what))
    bar.end(plan.faults + DRAIN)
    return run


if __name__ == "__main__":
    sys.exit(main())
