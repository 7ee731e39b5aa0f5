"""`make bench`: every entry in turn, a table, and build/bench.json."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from tests.bench.guard_stream import guard_stream
from tests.bench.harness import UnsteadyFloorError, save, show
from tests.bench.job_submit import job_submit

ENTRIES = (guard_stream, job_submit)


async def main() -> int:
    console = Console()
    entries, unsteady = [], []
    for measure in ENTRIES:
        try:
            entries.append(await measure())
        except UnsteadyFloorError as error:
            unsteady.append(str(error))
    show(entries, console)
    save(entries, Path("build/bench.json"))
    for line in unsteady:
        console.print(f"[red]not measured:[/red] {line}")
    return 1 if unsteady else 0


sys.exit(asyncio.run(main()))
