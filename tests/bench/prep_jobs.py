"""A dataset from the start of a process to its end: ours as the worker makes it, and a rival's."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tests.bench.child_run import child_result
from tests.bench.prep_rows import Kind, RowFile
from tests.bench.prep_spec import LIMITS, dataset_spec
from tests.bench.worker import WorkerFailedError

MAX_ROW_BYTES = 1024 * 1024
MOST_PROCESSES = 2
"""Of a side; with more the start of Python is what is measured."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
LAST_WORDS = 2000


@contextmanager
def few_cores() -> Iterator[int]:
    """Keep this process and all it starts to as many cores as a side has processes; their number.

    What a side starts beside its processes (a parent, a manager, threads) shares these cores.
    """
    before = os.sched_getaffinity(0)
    cores = sorted(before)[:MOST_PROCESSES]
    os.sched_setaffinity(0, cores)
    try:
        yield len(cores)
    finally:
        os.sched_setaffinity(0, before)


async def prepare_ours(kind: Kind, file: RowFile, processes: int) -> tuple[float, int]:
    """Seconds, and rows kept.

    Raises:
        WorkerFailedError: There is no dataset.
    """
    with TemporaryDirectory() as place:
        started = perf_counter()
        request = dataset_request([file.path], dataset_spec(kind), Path(place), processes)
        result = await child_result("modelmill_data_prep.child", request, Path(place))
        return perf_counter() - started, int(result["counts"]["rows_kept"])


def dataset_request(
    files: Sequence[Path], spec: Mapping[str, Any], scratch: Path, processes: int
) -> dict[str, Any]:
    """What data-prep's child is asked; the dataset will be in the folder "dataset" of `scratch`.

    Args:
        files: JSON lines: the rows, then evaluation rows.
        spec: A DatasetSpec.
        processes: Workers.
    """
    return {
        "files": [{"path": str(path), "format": "jsonl"} for path in files],
        "spec": spec,
        "folder": str(scratch / "dataset"),
        "max_row_bytes": MAX_ROW_BYTES,
        "processes": processes,
        "pseudonym_key": "00" * 32,
        "tokens": None,
        "ray_address": "",
    }


async def prepare_rival(
    environment: Path, script: str, file: RowFile, processes: int
) -> tuple[float, int]:
    """The same of `tests/bench/<script>.py`, run by the Python of `environment`.

    Raises:
        WorkerFailedError: It failed.
    """
    with TemporaryDirectory() as place:
        arguments = (str(file.shards), place, str(processes), json.dumps(LIMITS))
        started = perf_counter()
        await run_script(environment, script, *arguments, cache=Path(place))
        seconds = perf_counter() - started
        return seconds, _rows_in(Path(place) / "rows")


async def run_script(environment: Path, script: str, *arguments: str, cache: Path) -> None:
    """Run a script of this folder to its end, without network, its caches in a folder that goes.

    Raises:
        WorkerFailedError: It failed; with its last words.
    """
    # Not the script's folder on the path: modules of the bench are named like libraries.
    command = (str(environment / "bin" / "python"), "-P", f"tests/bench/{script}.py", *arguments)
    await _run(script, command, {**os.environ, **OFFLINE, "HF_HOME": str(cache / "hf")})


async def run_module(module: str, *arguments: str) -> None:
    """Run a module of this folder to its end.

    Raises:
        WorkerFailedError: It failed; with its last words.
    """
    command = (sys.executable, "-m", f"tests.bench.{module}", *arguments)
    await _run(module, command, os.environ)


async def _run(name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        _, errors = await process.communicate()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    if process.returncode:
        raise WorkerFailedError(f"{name}: {errors.decode(errors='replace')[-LAST_WORDS:]}")


def _rows_in(folder: Path) -> int:
    rows = 0
    for path in folder.glob("*.jsonl"):
        if path.stem.endswith("_stats"):
            continue  # of data-juicer, which cannot be told to leave them out
        with path.open("rb") as file:
            rows += sum(1 for _ in file)
    return rows
