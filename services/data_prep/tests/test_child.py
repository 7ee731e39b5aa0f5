"""The child process of a dataset job, as the worker starts it."""

import json
from pathlib import Path
from typing import Any

from data_prep.child import SMALL_FILES_BYTES
from jobs.children import ChildProcess

ROW = {"q": "Is it a number? ", "a": "yes"}


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def made(file: Path, folder: Path, *, processes: int) -> dict[str, Any]:
    """What a child says of its dataset, with the bytes of all its files."""
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
    child = await ChildProcess.start("data_prep.child", request, folder=folder)
    try:
        *_, last = [message async for message in child.messages()]
    finally:
        await child.close()
    assert last["type"] == "succeeded", child.log_tail()
    files = sorted((folder / "dataset").rglob("*"))
    return {**last["result"], "files": {file.name: file.read_bytes() for file in files}}


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
    assert alone == shared
