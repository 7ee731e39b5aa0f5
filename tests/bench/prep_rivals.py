"""prep.<rows>[.10x].<rival>: the whole of data preparation beside datatrove and data-juicer.

Value: rows of the file / (seconds from the start of the first process to the end of the last x
processes), start-up included: rows/s of a core. MB/s (of the source file's bytes, on all sides) is
in the note. Each side has the same number of processes, as many as cores and two at most, and what
it starts beside these shares the cores. Rows: reviews (Chinese), nouns (English), 30,000 of each,
from BENCH_DATA; without it no reviews, and the demo's nouns. 10x: ten times as many, the further
ones made of halves of them with the same share of duplicates (`prep_rows`); beside datatrove, the
quicker of the two at both sizes, with the fewest rounds there may be.

All sides: read JSON lines, repair encoding and normalise Unicode (NFC), remove markup, filter by
length, share of symbols and repeated characters, drop exact duplicates, drop near duplicates
(MinHash, 128 permutations, threshold 0.8, shingles of five characters; rivals use the 117 of the
128 that fill their bands), write JSON lines. Ours does more: it renders turns from templates, drops
what a reader cannot see, counts tokens, splits by group, writes for each row why it is where it
is, a report and a Merkle root. A rival does less: it gets its text made, and its rows in a file for
each process, neither of which is in its time. What symbols are, and how texts are folded before
they are compared, differs between the three, so do the rows kept, which the note has. Versions:
deploy/bench/datatrove.txt and data_juicer.txt. Floor: read, parse, SHA-256, write, one process.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.bench.figures import Figures, Goal, Line, Rounds, Unmeasured
from tests.bench.harness import FEWEST_ROUNDS, Group, Measure, Run
from tests.bench.prep_jobs import few_cores, prepare_ours, prepare_rival, run_module
from tests.bench.prep_rows import (
    NOUNS,
    REVIEWS,
    Kind,
    RowFile,
    absence,
    origin,
    rows_of,
    write_rows,
)
from tests.bench.rivals import DATA_JUICER, DATATROVE, is_installed
from tests.bench.rivals import absence as rival_absence

RATE, BYTES, KEPT = "rows/s", "MB/s", "rows kept"
GOAL = Goal(3.0, at_least=True)
ROWS = 30_000
QUICK_ROWS = 500
FLOOR_REPEATS = 8
"""The floor is many times as quick; it works through the file this often in a turn."""


@dataclass(frozen=True)
class Rival:
    """Another way to prepare the same data."""

    name: str
    against: str
    environment: Path
    script: str


RIVALS = (
    Rival("datatrove", "datatrove 0.10.1", DATATROVE, "rival_datatrove"),
    Rival("juicer", "data-juicer 1.6.1", DATA_JUICER, "rival_data_juicer"),
)


@dataclass(frozen=True)
class Load:
    """Rows that all sides work through."""

    kind: Kind
    times: int
    rivals: tuple[Rival, ...]
    seconds: float
    """What its rounds are expected to take."""

    @property
    def name(self) -> str:
        """The beginning of its entries' ids."""
        return f"prep.{self.kind.name}" + (f".{self.times}x" if self.times > 1 else "")

    def entry_id(self, rival: Rival) -> str:
        """Of the entry beside a rival."""
        return f"{self.name}.{rival.name}"


LOADS = (
    Load(REVIEWS, 1, RIVALS, 450.0),
    Load(NOUNS, 1, RIVALS, 500.0),
    Load(REVIEWS, 10, RIVALS[:1], 650.0),
    Load(NOUNS, 10, RIVALS[:1], 750.0),
)


async def measure(run: Run) -> list[Line]:
    """Each load that is wanted, beside those of the rivals that are there."""
    lines: list[Line] = []
    with few_cores() as processes:
        for load in LOADS:
            rivals = [one for one in load.rivals if load.entry_id(one) in run.wanted]
            present = [one for one in rivals if is_installed(one.environment)]
            if reason := absence(load.kind):
                lines += [Unmeasured(load.entry_id(one), reason, True) for one in rivals]
                continue
            lines += [
                Unmeasured(load.entry_id(one), rival_absence(one.environment), True)
                for one in rivals
                if one not in present
            ]
            if present:
                lines += await _beside(run, load, present, processes)
    return lines


async def _beside(run: Run, load: Load, rivals: list[Rival], processes: int) -> list[Line]:
    rows = list(rows_of(load.kind, run.pick(ROWS, QUICK_ROWS), times=load.times))
    with TemporaryDirectory() as place:
        file = write_rows(load.kind, rows, Path(place) / "rows", shards=processes)
        rounds = await run.interleaved(
            load.name,
            _contestants(run, load, file, rivals, processes),
            seconds=load.seconds,
            steady=[RATE],
            rounds=None if load.times == 1 or run.quick else FEWEST_ROUNDS,
        )
    return [_line(rounds, load, rival, file, processes) for rival in rivals]


def _contestants(
    run: Run, load: Load, file: RowFile, rivals: list[Rival], processes: int
) -> dict[str, Measure]:
    def figures(seconds: float, kept: int) -> Figures:
        cores_seconds = seconds * processes
        return {
            RATE: file.rows / cores_seconds,
            BYTES: file.size_bytes / 1e6 / cores_seconds,
            KEPT: kept,
        }

    async def ours() -> Figures:
        return figures(*await prepare_ours(load.kind, file, processes))

    def of(rival: Rival) -> Measure:
        async def theirs() -> Figures:
            environment, script = rival.environment, rival.script
            return figures(*await prepare_rival(environment, script, file, processes))

        return theirs

    async def floor() -> Figures:
        repeats = run.pick(FLOOR_REPEATS, 1) if load.times == 1 else 1
        with TemporaryDirectory() as place:
            started = perf_counter()
            for number in range(repeats):
                await run_module("rows_floor", str(file.path), str(Path(place) / str(number)))
            return {RATE: file.rows * repeats / (perf_counter() - started)}

    return {"ours": ours, **{one.name: of(one) for one in rivals}, "floor": floor}


def _line(rounds: Rounds, load: Load, rival: Rival, file: RowFile, processes: int) -> Line:
    def told(side: str) -> str:
        rate, size, kept = (rounds.median(side, one) for one in (RATE, BYTES, KEPT))
        return f"{rate:,.0f} rows/s and {size:.2f} MB/s a core, {kept:,.0f} rows kept"

    note = (
        f"ours {told('ours')}; {rival.name} {told(rival.name)}; {file.rows:,} {load.kind.name} "
        f"({origin()}), {processes} processes; floor {rounds.median('floor', RATE):,.0f} rows/s"
    )
    return rounds.line(
        load.entry_id(rival),
        RATE,
        unit="rows/s a core",
        against=rival.against,
        goal=GOAL,
        note=note,
        over=rival.name,
    )


GROUP = Group(
    tuple(load.entry_id(rival) for load in LOADS for rival in load.rivals),
    measure,
    sum(load.seconds for load in LOADS),
)
