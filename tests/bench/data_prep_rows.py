"""data_prep.rows, .csv and .datasets: rows a second from a file to a dataset.

Value: rows of the file / seconds from the start of the process to its end, start-up and all: what a
job costs. Ours: `modelmill_data_prep.child` as the worker starts it, with a process for each core,
on the demo's mapping: read, validate, clean, render, drop exact duplicates, count tokens and
sentences, split by group, write rows, provenance and report. Floor of data_prep.rows (JSON lines)
and data_prep.rows.csv: a process that reads, parses, hashes (SHA-256) and writes the same rows with
the standard library. Rival of data_prep.rows.datasets: Hugging Face `datasets`, map and filter, on
the same JSON lines with the same steps and mostly the same functions (`rows_datasets`), in one
process; without report, provenance and quarantine.
Precision does not apply. Sample: the demo's 1,310 good nouns, numbered, one in 50 a duplicate.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from modelmill_cli.demo.recipe import demo_recipe
from modelmill_jobs.children import start_child
from modelmill_service_kit.machine_size import this_machine

from tests.bench.figures import Figures, Goal, Line, Unmeasured
from tests.bench.harness import Group, Measure, Run
from tests.bench.rows_sample import write_csv, write_jsonl
from tests.bench.worker import WorkerFailedError

JSONL, CSV, DATASETS = "data_prep.rows", "data_prep.rows.csv", "data_prep.rows.datasets"
RATE = "rows/s"
ROWS = 15_000
MAX_ROW_BYTES = 1024 * 1024
FLOOR_GOAL, RIVAL_GOAL = Goal(0.1, at_least=True), Goal(3.0, at_least=True)
FLOOR_REPEATS = 8
"""The floor is many times as quick; it works through the file this often in a turn."""
JSONL_SECONDS, CSV_SECONDS = 120.0, 45.0


async def measure(run: Run) -> list[Line]:
    """JSON lines beside floor and rival, then CSV beside the floor."""
    rows = run.pick(ROWS, 2_000)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if {JSONL, DATASETS} & run.wanted:
            source = folder / "rows.jsonl"
            write_jsonl(source, rows)
            lines += await _measure_jsonl(run, source, rows)
        if CSV in run.wanted:
            source = folder / "rows.csv"
            write_csv(source, rows)
            contestants = _contestants(run, source, rows)
            rounds = await run.interleaved(CSV, contestants, seconds=CSV_SECONDS, steady=[RATE])
            note = f"{rows:,} rows; floor {rounds.median('floor', RATE):,.0f} rows/s"
            against = "standard library"
            lines.append(
                rounds.line(CSV, RATE, unit=RATE, against=against, goal=FLOOR_GOAL, note=note)
            )
    return lines


async def _measure_jsonl(run: Run, source: Path, rows: int) -> list[Line]:
    contestants = _contestants(run, source, rows)
    rival = DATASETS in run.wanted and find_spec("datasets") is not None
    if rival:
        contestants["datasets"] = _timed(source, rows, "rows_datasets", 1)
    rounds = await run.interleaved(JSONL, contestants, seconds=JSONL_SECONDS, steady=[RATE])
    lines: list[Line] = []
    if JSONL in run.wanted:
        note = f"{rows:,} rows; floor {rounds.median('floor', RATE):,.0f} rows/s"
        against = "standard library"
        lines.append(
            rounds.line(JSONL, RATE, unit=RATE, against=against, goal=FLOOR_GOAL, note=note)
        )
    if rival:
        note = f"datasets {rounds.median('datasets', RATE):,.0f} rows/s"
        against = "datasets, the same steps"
        lines.append(
            rounds.line(
                DATASETS,
                RATE,
                unit=RATE,
                against=against,
                goal=RIVAL_GOAL,
                note=note,
                over="datasets",
            )
        )
    elif DATASETS in run.wanted:
        lines.append(Unmeasured(DATASETS, "not measured: `datasets` is not installed"))
    return lines


def _contestants(run: Run, source: Path, rows: int) -> dict[str, Measure]:
    async def ours() -> Figures:
        return {RATE: rows / await _prepare(source)}

    repeats = run.pick(FLOOR_REPEATS, 1)
    return {"ours": ours, "floor": _timed(source, rows, "rows_floor", repeats)}


async def _prepare(source: Path) -> float:
    """Seconds of one dataset, made as the worker has it made."""
    with tempfile.TemporaryDirectory() as place:
        started = time.perf_counter()
        request = {
            "files": [{"path": str(source), "format": source.suffix.removeprefix(".")}],
            "spec": {**demo_recipe().dataset, "name": "bench", "file_id": "file-bench"},
            "folder": str(Path(place) / "dataset"),
            "max_row_bytes": MAX_ROW_BYTES,
            "processes": max(int(this_machine().cpus), 1),
            "ray_address": "",
            "pseudonym_key": "00" * 32,
            "tokens": None,
        }
        child = await start_child("modelmill_data_prep.child", request, folder=Path(place))
        try:
            last: Mapping[str, object] = {}
            async for message in child.messages():
                last = message
            if last.get("type") != "succeeded":
                raise WorkerFailedError(f"modelmill_data_prep.child: {last}\n{child.log_tail()}")
            return time.perf_counter() - started
        finally:
            await child.close()


def _timed(source: Path, rows: int, module: str, repeats: int) -> Measure:
    """Another way to work through the file, `repeats` times, each in a process of its own."""
    numbers = itertools.count()

    async def measure_once() -> Figures:
        with tempfile.TemporaryDirectory() as place:
            started = time.perf_counter()
            for _ in range(repeats):
                target = Path(place) / f"out{next(numbers)}"
                if module == "rows_datasets":
                    target.mkdir()
                await _python(module, str(source), str(target))
            return {RATE: rows * repeats / (time.perf_counter() - started)}

    return measure_once


async def _python(module: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.{module}", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise WorkerFailedError(f"{module}: {errors.decode(errors='replace')[-1000:]}")


GROUP = Group((JSONL, DATASETS, CSV), measure, JSONL_SECONDS + CSV_SECONDS)
