"""Cells of a long bench, whose results are kept until what makes them changes."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

Do = Callable[[str], Awaitable[dict[str, Any]]]
"""Does the cell of a name; its result is plain values."""


class AbsentError(Exception):
    """What the cell needs is not installed; the message says what makes it."""


@dataclass(frozen=True)
class Cell:
    """A step whose result is kept."""

    name: str
    seconds: float
    """About what it takes on two cores."""


class KeptCells:
    """A folder with a result by cell: a run that broke off goes on with the next one."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console
        self.absent: dict[str, str] = {}
        """Cells that nothing here could do, with what was said."""

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """What is known, by cell."""
        return {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(self._folder.glob("*.json"))
        }

    async def run(self, chosen: Sequence[Cell], do: Do) -> None:
        """Do the cells that are not done; what else one raises ends the run."""
        known = self.results
        left = [cell for cell in chosen if cell.name not in known]
        self._folder.mkdir(parents=True, exist_ok=True)
        started, total = time.monotonic(), sum(cell.seconds for cell in left)
        done = 0.0
        for cell in left:
            began = time.monotonic()
            pace = (began - started) / done if done else 1.0
            minutes = (total - done) * pace / 60
            self._console.print(f"{cell.name}; about {minutes:.0f} minutes are left")
            try:
                result = await do(cell.name)
            except AbsentError as error:
                self.absent[cell.name] = str(error)
            else:
                seconds = time.monotonic() - began
                self._write(cell.name, result | {"cell_seconds": seconds})
                self._console.print(f"{cell.name} took {seconds:.0f} s")
            done += cell.seconds

    def say(self, phase: str, done: int, total: int) -> None:
        """How far a cell is, on a line of its own."""
        counted = f"{done} of {total}" if total else str(done or "")
        self._console.print(f"  {phase} {counted}".rstrip(), end="\r", soft_wrap=True)

    def _write(self, name: str, result: dict[str, Any]) -> None:
        file = self._folder / f"{name}.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(result), encoding="utf-8")
        fresh.rename(file)


def chosen_cells(cells: Sequence[Cell], names: Sequence[str], always: str) -> list[Cell]:
    """Cells of these names or, where a name is no cell's, whose names begin so; and `always`.

    Raises:
        SystemExit: No cell has a name, or begins so.
    """
    known = [cell.name for cell in cells]
    exact = {*known} & {*names}
    begun = tuple(name for name in names if name not in exact)
    if unknown := [each for each in begun if not any(it.startswith(each) for it in known)]:
        raise SystemExit(f"no cell {', '.join(unknown)}; there are {', '.join(known)}")
    return [cell for cell in cells if cell.name in {always, *exact} or cell.name.startswith(begun)]
