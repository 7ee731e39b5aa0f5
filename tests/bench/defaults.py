"""defaults.*: whether what fine-tuning chooses by itself learns, beside fixed learning rates.

    BENCH_DATA=FOLDER python -m tests.bench.defaults                 goes on where the last ended
    BENCH_DATA=FOLDER python -m tests.bench.defaults --seconds 500   for so long
    python -m tests.bench.defaults --report                          only writes the entries anew

`defaults.<corpus>.<way>.<rows>`: share of 1,000 held-out rows that a model answers rightly (the
likeliest of all labels is the true one) which was tuned with nothing chosen but the method, mean of
three seeds. Ratio: over the base model's share on the same rows. Ways: LoRA and all weights at 300
and 3,000 rows, a prefix and DPO (LoRA's; the worse answer is another label) at 1,000.
`defaults.shortfall`: points that these are behind the best of five fixed rates with the same epochs
and batch size, mean over the cells. A fixed rate has one seed, and the best is chosen by the rows
that it is measured on: that speaks for it, not for us.

Corpora: WordNet's nouns (word and gloss to one of 25 kinds) and Chinese reviews (good or bad) of
BENCH_DATA, 6,000 rows drawn, freed of duplicates and split by data-prep. Base: the demo's,
SmolLM2-135M-Instruct. Intervals resample test rows, in pairs, and seeds.

It takes days on two cores and goes on where it ended: each run that is done is kept in
deploy/bench/defaults_units.json, with the commit that it was done at; the checkpoint of one that is
not lies in build/bench/. Runs of an automatic choice that has changed since are to be deleted there
by hand: `--forget CELL` does it.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from tests import run_record
from tests.bench.built_model import python
from tests.bench.defaults_cells import CELLS, Unit, units
from tests.bench.defaults_figures import entries
from tests.bench.defaults_unit import Corpus, correct_of, make_corpus, run_unit
from tests.bench.harness import WORK_FOLDER
from tests.bench.report import PACKAGES, show

UNITS, RESULT = Path("deploy/bench/defaults_units.json"), Path("deploy/bench/defaults.json")
SCRATCH = WORK_FOLDER / "defaults"
BASE_RECIPE = "deploy/demo/base_model.py"
FOREVER = 1e9


class Grid:
    """The runs that are done, and how to do the next one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._corpora: dict[str, Corpus] = {}
        self.kept: dict[str, dict[str, Any]] = (
            json.loads(UNITS.read_text(encoding="utf-8")) if UNITS.is_file() else {}
        )

    @property
    def left(self) -> list[Unit]:
        """What is still to be done, in its order."""
        return [unit for unit in units() if unit.id not in self.kept]

    async def go_on(self, seconds: float) -> None:
        """Do what is left, for so long."""
        ends = time.monotonic() + seconds
        base = SCRATCH / "base"
        SCRATCH.mkdir(parents=True, exist_ok=True)
        if not base.is_dir():
            await python([BASE_RECIPE, str(base)])
        with TemporaryDirectory(dir=SCRATCH) as place:
            while self.left and (time_left := ends - time.monotonic()) > 0:
                await self._do(self.left[0], base, Path(place), time_left)

    async def _do(self, unit: Unit, base: Path, place: Path, seconds: float) -> None:
        name = unit.cell.corpus
        if name not in self._corpora:
            self._corpora[name] = await make_corpus(name, _made(place / name))
        self._console.print(f"{unit.id} begins or goes on; {len(self.left)} runs are left")
        kept = SCRATCH / unit.id.replace("/", "-")
        with TemporaryDirectory(dir=place) as scratch:
            done = await run_unit(
                *(unit, self._corpora[name], base, self._base_correct(name)),
                *(Path(scratch), kept, seconds),
            )
        if done is None:
            self._console.print(f"{unit.id} is interrupted, and keeps a checkpoint")
            return
        self.kept[unit.id] = done | {"commit": run_record.circumstances(())["commit"]}
        self._save()
        share = sum(correct_of(done["correct"])) / len(done["correct"])
        self._console.print(f"{unit.id}: {share:.3f} in {done['seconds']} s; {self._expected()}")

    def _base_correct(self, corpus: str) -> list[bool] | None:
        known = [run for unit, run in self.kept.items() if unit.startswith(f"{corpus}.")]
        return correct_of(known[0]["base_correct"]) if known else None

    def _expected(self) -> str:
        """Hours of what is left: by tokens of training, at the mean speed of what is done."""
        spent = sum(run["seconds"] for run in self.kept.values())
        rows = sum(_work(unit) for unit in units() if unit.id in self.kept)
        hours = sum(map(_work, self.left)) * spent / rows / 3600 if rows else 0.0
        return f"{len(self.left)} runs are left, about {hours:.1f} h like these"

    def forget(self, cell: str) -> None:
        """Let the runs of a cell be done again."""
        self.kept = {unit: run for unit, run in self.kept.items() if not unit.startswith(cell)}
        self._save()

    def _save(self) -> None:
        fresh = UNITS.with_suffix(".new")
        fresh.write_text(json.dumps(self.kept, indent=1) + "\n", encoding="utf-8")
        fresh.rename(UNITS)

    def report(self) -> None:
        """Write and show the entries."""
        lines = entries(self.kept)
        document = run_record.circumstances(PACKAGES) | {
            "runs": f"{len(self.kept)} of {len(list(units()))}",
            "entries": [asdict(line) for line in lines],
        }
        run_record.save(document, RESULT)
        show(lines, self._console)


EXAM_ROWS = 500
"""Rows of train that cost about as much as the test rows."""


def _work(unit: Unit) -> float:
    """In rows that are read once; all weights cost more than an adapter."""
    passes = {300: 3, 1_000: 2, 3_000: 2}[unit.cell.rows]
    return EXAM_ROWS + passes * unit.cell.rows * (2 if unit.cell.way == "full" else 1)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> int:
    """Go on, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.defaults")
    parser.add_argument("--seconds", type=float, default=FOREVER, help="for how long (to the end)")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--forget", choices=[cell.name for cell in CELLS], help="do it again")
    chosen = parser.parse_args()
    grid = Grid(Console())
    if chosen.forget:
        grid.forget(chosen.forget)
    elif not chosen.report:
        asyncio.run(grid.go_on(chosen.seconds))
    grid.report()
    return 0


if __name__ == "__main__":
    sys.exit(main())
