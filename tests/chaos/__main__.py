"""`make chaos`: everything that kills; tables on the terminal, and build/chaos.json."""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.chaos import report as reporting
from tests.chaos.parts import NAMES, Part, parts
from tests.long_progress import LongProgress
from tests.run_record import NotWorthKeepingError, save

RESULT, KEPT = Path("build/chaos.json"), Path("deploy/chaos/last.json")


def main() -> int:
    """Exit status 0 when every promise held and the control's did not."""
    asked, console = _arguments(), Console()
    if unknown := sorted(set(asked.only) - set(NAMES)):
        console.print(f"no such part: {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return 2
    # The broker goes away a hundred times; each is told once too often.
    logging.getLogger("modelmill_jobs").addHandler(logging.NullHandler())
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    wanted = [part for part in parts(seeds) if not asked.only or part.name in asked.only]
    report = reporting.Report()
    asyncio.run(run_parts(wanted, report, console))
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
    parser.add_argument(
        "--only",
        type=lambda names: names.split(","),
        default=[],
        metavar="PART,...",
        help=f"some of {', '.join(NAMES)}",
    )
    parser.add_argument("--keep", action="store_true", help=f"copy a complete run to {KEPT}")
    return parser.parse_args()


async def run_parts(wanted: Sequence[Part], report: reporting.Report, console: Console) -> None:
    """One after the other, each in a folder of its own; one that fails is told in the report."""
    with LongProgress(console) as progress:
        task = progress.add_task("", total=sum(part.seconds for part in wanted))
        reached = 0.0
        for part in wanted:
            progress.update(task, description=part.what)
            began = reached

            def tell(done: int, of: int, part: Part = part, began: float = began) -> None:
                progress.update(task, completed=began + part.seconds * done / of)

            try:
                with tempfile.TemporaryDirectory(prefix="modelmill-chaos-") as folder:
                    await part.run(report, Path(folder), tell)
            except Exception as error:
                # The other parts have something to say all the same.
                console.print_exception()
                report.given_up[part.what] = f"{type(error).__name__}: {error}"
            reached += part.seconds
            progress.update(task, completed=reached)


if __name__ == "__main__":
    sys.exit(main())
