"""defaults.*: whether what fine-tuning chooses by itself learns, beside fixed learning rates.

    BENCH_DATA=FOLDER python -m tests.bench.defaults                 goes on where the last ended
    BENCH_DATA=FOLDER python -m tests.bench.defaults --seconds 500   for so long
    BENCH_DATA=FOLDER python -m tests.bench.defaults --only NAME ... cells or runs, in this order
    python -m tests.bench.defaults --report                          only writes the entries anew

`defaults.<corpus>.<way>.<rows>`: share of 1,000 held-out rows that a model answers rightly (the
likeliest of all labels is the true one) which was tuned with nothing chosen but the method, mean of
three seeds. Ratio: over the base model's share on the same rows. Ways: LoRA and all weights at 300
and 3,000 rows, a prefix and DPO (LoRA's; the worse answer is another label) at 1,000.
`defaults.shortfall`: points that these are behind the best of five fixed rates with the same epochs
and batch size, mean over the cells. A fixed rate has one seed, and the best is chosen by the rows
that it is measured on: that speaks for it, not for us. An entry that misses runs says which, and
not whether its goal is met: a cell of a seed, the shortfall of a cell.

Corpora: WordNet's nouns (word and gloss to one of 25 kinds) and Chinese reviews (good or bad) of
at most 40 characters, of BENCH_DATA; 6,000 rows drawn, freed of duplicates and split by data-prep.
Base: the demo's, SmolLM2-135M-Instruct. Intervals resample test rows, in pairs, and seeds.

It takes half a day of a core and goes on where it ended, the quickest runs first
(`defaults_cells.units`): each run that is done is kept in
deploy/bench/defaults_units.json, with the commit that it was done at; the checkpoint of one that is
not lies in build/bench/. Runs of an automatic choice that has changed since are to be deleted there
by hand: `--forget NAME` does it.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from tests import run_record
from tests.bench.built_model import python
from tests.bench.defaults_cells import CELLS, Unit, is_named, units, work
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

    def __init__(self, console: Console, only: Sequence[str]) -> None:
        self._console = console
        self._only = only
        self._corpora: dict[str, Corpus] = {}
        self.kept: dict[str, dict[str, Any]] = (
            json.loads(UNITS.read_text(encoding="utf-8")) if UNITS.is_file() else {}
        )

    @property
    def left(self) -> list[Unit]:
        """What is still to be done, in its order; of what is named alone, in that order."""
        wanted = [unit for unit in units() if unit.id not in self.kept]
        if not self._only:
            return wanted
        named = [unit for name in self._only for unit in wanted if is_named(unit.id, name)]
        return list(dict.fromkeys(named))

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
        """Hours of what is left, at the mean speed of what is done."""
        spent = sum(run["seconds"] for run in self.kept.values())
        done = sum(work(unit) for unit in units() if unit.id in self.kept)
        hours = sum(map(work, self.left)) * spent / done / 3600 if done else 0.0
        return f"{len(self.left)} runs are left, about {hours:.1f} h like these"

    def forget(self, name: str) -> None:
        """Let a run, or all runs of a cell, be done again."""
        self.kept = {unit: run for unit, run in self.kept.items() if not is_named(unit, name)}
        self._save()

    def _save(self) -> None:
        fresh = UNITS.with_suffix(".new")
        fresh.write_text(json.dumps(self.kept, indent=1) + "\n", encoding="utf-8")
        fresh.rename(UNITS)

    def report(self) -> None:
        """Write and show the entries."""
        lines = entries(self.kept)
        document = run_record.circumstances(PACKAGES) | {
            "runs": f"{len(self.kept)} of {len(units())}",
            "entries": [asdict(line) for line in lines],
        }
        run_record.save(document, RESULT)
        show(lines, self._console)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> int:
    """Go on, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.defaults")
    parser.add_argument("--seconds", type=float, default=FOREVER, help="for how long (to the end)")
    names = [*(cell.name for cell in CELLS), *(unit.id for unit in units())]
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME", help="CELL or CELL/auto/1"
    )
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--forget", choices=names, metavar="NAME", help="do it again")
    chosen = parser.parse_args()
    grid = Grid(Console(), chosen.only)
    if chosen.forget:
        grid.forget(chosen.forget)
    elif not chosen.report:
        asyncio.run(grid.go_on(chosen.seconds))
    grid.report()
    return 0


if __name__ == "__main__":
    sys.exit(main())
