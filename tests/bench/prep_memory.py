"""prep.memory: does a job that makes a dataset take more memory for more rows?

Value: MB resident at most, at ten times the rows: the sum over all processes of the job, what they
share counted once (PSS), sampled every 50 ms from the start of the first to the end of the last.
Denominator: the same of the rows once. The job is that of prep.*: clean, filter, exact and near
duplicates, in as many processes as cores, two at most. The pages of scratch files that a process
has mapped count as its own. Precision and load do not apply. Sample: the reviews (nouns without
BENCH_DATA), and ten times as many rows made of their halves, with the same share of duplicates.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from modelmill_service_kit.machine_size import resident_memory

from tests.bench.figures import Figures, Goal, Line
from tests.bench.harness import Group, Run
from tests.bench.prep_jobs import few_cores, prepare_ours
from tests.bench.prep_rows import NOUNS, REVIEWS, RowFile, absence, origin, rows_of, write_rows

ID = "prep.memory"
MEMORY = "MB"
ROWS, TIMES = 30_000, 10
SAMPLE_SECONDS = 0.05
GOAL = Goal(1.1)
GROUP_SECONDS = 240.0


async def measure(run: Run) -> list[Line]:
    """One entry."""
    kind = NOUNS if absence(REVIEWS) else REVIEWS
    count = run.pick(ROWS, 2_000)
    with TemporaryDirectory() as place, few_cores() as processes:
        files = [
            write_rows(
                kind, list(rows_of(kind, count, times=times)), Path(place) / str(times), shards=1
            )
            for times in (1, TIMES)
        ]

        async def once(file: RowFile) -> Figures:
            peak = _Peak()
            watching = asyncio.create_task(peak.watch())
            try:
                await prepare_ours(kind, file, processes)
            finally:
                watching.cancel()
            return {MEMORY: peak.bytes / 1e6}

        contestants = {"floor": lambda: once(files[0]), "ours": lambda: once(files[1])}
        rounds = await run.interleaved(ID, contestants, seconds=GROUP_SECONDS, steady=[MEMORY])
    note = (
        f"{count * TIMES:,} {kind.name} ({origin()}) over {count:,}: "
        f"{rounds.median('floor', MEMORY):.0f} MB; {processes} processes"
    )
    return [rounds.line(ID, MEMORY, unit=MEMORY, against="rows once", goal=GOAL, note=note)]


class _Peak:
    """The most that all children of this process hold at a time."""

    def __init__(self) -> None:
        self.bytes = 0

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.bytes = max(self.bytes, await asyncio.to_thread(_held))
            await asyncio.sleep(SAMPLE_SECONDS)


def _held() -> int:
    return sum(resident_memory(child.pid) for child in psutil.Process().children())


GROUP = Group((ID,), measure, GROUP_SECONDS)
