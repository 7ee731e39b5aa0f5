"""The child process of a dataset job, as the worker starts it."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from modelmill_data_prep.child import SMALL_FILES_BYTES
from modelmill_jobs.children import start_child

ROW = {"q": "Is it a number? ", "a": "yes"}


def helpers_of_the_child() -> int:
    """Processes below the one child that this process has."""
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "modelmill_data_prep.child" in process.cmdline():
                return len(process.children(recursive=True))
    return 0


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def made(file: Path, folder: Path, *, processes: int) -> dict[str, Any]:
    """What a child says of its dataset, with the bytes of all its files and its most helpers."""
    request = {
        "files": [{"path": str(file), "format": "jsonl"}],
        "spec": {"mapping": {"user_template": "{q}", "answer_template": "{a}"}},
        "folder": str(folder / "dataset"),
        "max_row_bytes": 1_000,
        "processes": processes,
        "pseudonym_key": "00" * 32,
        "tokens": None,
        "ray_address": "",
    }
    child = await start_child("modelmill_data_prep.child", request, folder=folder)
    try:
        last: dict[str, Any] = {}
        helpers = 0
        async for message in child.messages():
            last, helpers = message, max(helpers, helpers_of_the_child())
    finally:
        await child.close()
    assert last["type"] == "succeeded", child.log_tail()
    files = sorted((folder / "dataset").rglob("*"))
    contents = {file.name: file.read_bytes() for file in files}
    return {**last["result"], "files": contents, "helpers": helpers}


@pytest.mark.tier("test")
@pytest.mark.real_starts
async def test_a_file_that_is_worth_workers_becomes_the_same_dataset_with_them(
    tmp_path: Path,
) -> None:
    file = tmp_path / "rows.jsonl"
    lines = (json.dumps({**ROW, "q": f"{ROW['q']}{number}"}) for number in range(7_000))
    file.write_text("\n".join(lines))
    assert file.stat().st_size > SMALL_FILES_BYTES

    alone = await made(file, new(tmp_path / "alone"), processes=1)
    shared = await made(file, new(tmp_path / "shared"), processes=2)

    assert alone["counts"]["rows_kept"] > 0
    # A server and the workers that are forked from it.
    assert (alone.pop("helpers"), shared.pop("helpers") >= 3) == (0, True)
    assert alone == shared


def test_pandas_is_not_imported_where_it_was_left_out() -> None:
    check = (
        "import sys\n"
        "from modelmill_data_prep.adapters.worker_server import without_pandas\n"
        "without_pandas()\n"
        "import pyarrow\n"
        "import modelmill_data_prep.pipeline.worker_parts\n"
        "pyarrow.array(['a']).to_numpy(zero_copy_only=False)\n"
        "sys.exit('pandas' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
