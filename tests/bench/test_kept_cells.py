"""Cells that are kept, and those that nothing here can do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.bench.kept_cells import AbsentError, Cell, KeptCells
from tests.bench.worker import WorkerFailedError

CELLS = [Cell("first", 1.0), Cell("second", 1.0)]


def test_a_cell_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    cells = KeptCells(tmp_path, Console(quiet=True))
    done: list[str] = []

    async def do(name: str) -> dict[str, Any]:
        done.append(name)
        if name == "second" and done.count(name) == 1:
            raise WorkerFailedError("interrupted")
        return {"of": name}

    with pytest.raises(WorkerFailedError):
        asyncio.run(cells.run(CELLS, do))
    asyncio.run(cells.run(CELLS, do))

    assert done == ["first", "second", "second"]
    assert {name: one["of"] for name, one in cells.results.items()} == {
        "first": "first",
        "second": "second",
    }


def test_what_is_not_installed_is_said_and_the_next_cell_is_done(tmp_path: Path) -> None:
    cells = KeptCells(tmp_path, Console(quiet=True))

    async def do(name: str) -> dict[str, Any]:
        if name == "first":
            raise AbsentError("make build/first/installed")
        return {}

    asyncio.run(cells.run(CELLS, do))

    assert cells.absent == {"first": "make build/first/installed"}
    assert [*cells.results] == ["second"]
