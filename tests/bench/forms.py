"""forms.*: what each form costs and gives: bytes, speed, memory, score, perplexity.

    BENCH_DATA=FOLDER python -m tests.bench.forms [--only CELL ...] [--keep] [--quick] [--report]

Model: SmolLM2-135M, the demo's base; tuned by one pass of LoRA over 3,000 of WordNet's nouns, and
asked 1,500 others. Each form is made by the product's own code, of the tuned model with its rows
and of the base without any. `openvino-int4` is what the product chooses; `openvino-int4.METHOD` one
method alone.

`forms.bytes.F`: MB, over bf16 safetensors. `forms.score.F`: points lost beside bf16, same rows.
`forms.labels.F`: log-likelihood of the right labels. `forms.general.F`: perplexity of general text
by the base's form, of text that neither calibrated nor chose. `forms.speed.ENGINE.F.N`: tokens/s
with N in flight, 64 tokens prompt and answer, over bf16 in the openvino engine, by round.
`forms.memory.ENGINE.F`: resident memory of the engine's process. `forms.int4_over_int8.1`: one in
flight. `forms.rival.R.*`: the rivals' own int4 of the same merged model (`rival_forms`).

A cell that is done is kept in build/bench/ until code or a library that makes it changes, so that
what was interrupted goes on. About three hours on two cores; the rest is said as it goes. `--only`
does cells of these names, or whose names begin so; `--report` none. `--quick` shows that it works:
few rows and rounds. `--keep` writes deploy/bench/forms.json in place of the entries of the same
ids.
"""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.child_steps import run_steps
from tests.bench.figures import Unmeasured
from tests.bench.forms_cells import (
    BASE,
    BF16,
    MADE,
    MODEL_SOURCES,
    REFUSED,
    SOURCES,
    TRANSFORMERS,
    TUNED,
    MadeForm,
    ServedForm,
    cells,
    digest,
    served_with,
)
from tests.bench.forms_figures import entries, refusals
from tests.bench.forms_model import FULL, QUICK, FormsModel, make_model, require_rows
from tests.bench.forms_served import NEW_TOKENS, rates_in_flight
from tests.bench.harness import WORK_FOLDER
from tests.bench.kept_cells import Cell, KeptCells, chosen_cells
from tests.bench.kept_entries import keep_entries
from tests.bench.report import show
from tests.bench.rival_forms import rival_result

RESULT = Path("deploy/bench/forms.json")
ROUNDS, QUICK_ROUNDS, QUICK_TOKENS = 7, 1, 8
REFERENCE = "reference"
CHILD = "tests.bench.forms_child"


class FormsBench:
    """The cells, and what they found."""

    def __init__(self, console: Console, *, quick: bool) -> None:
        self._quick = quick
        root = WORK_FOLDER / "forms"
        model = root / f"model-{digest(MODEL_SOURCES, quick=quick)}"
        self._work = root / f"made-{digest((*MODEL_SOURCES, *SOURCES), quick=quick)}"
        self._cells = KeptCells(self._work / "results", console)
        self._model = FormsModel(model)

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """What is known, by cell."""
        return self._cells.results

    @property
    def absent(self) -> dict[str, str]:
        """Cells that nothing here could do, with what was said."""
        return {f"forms.{name}": why for name, why in self._cells.absent.items()}

    async def run(self, chosen: Sequence[Cell]) -> None:
        """Do the cells that are not done."""
        await self._cells.run(chosen, self._do)

    async def _do(self, name: str) -> dict[str, Any]:
        kind, _, which = name.partition(".")
        steps: dict[str, Callable[[str], Awaitable[dict[str, Any]]]] = {
            "model": self._make_model,
            TUNED: lambda which: self._build(TUNED, which),
            BASE: lambda which: self._build(BASE, which),
            "served": self._serve,
            "rival": self._rival,
        }
        return await steps[kind](which)

    async def _make_model(self, _which: str) -> dict[str, Any]:
        amount = QUICK if self._quick else FULL
        model = await make_model(self._model.root, amount)
        require_rows(model, amount)
        return {"test_rows": amount.test}

    async def _build(self, model: str, name: str) -> dict[str, Any]:
        [made] = [each for each in MADE if each.name == name]
        folder = self._work / model / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        request, result = folder / "request.json", folder / "result.json"
        request.write_text(json.dumps(self._request(model, made, folder)))
        await run_steps(CHILD, ("build", str(request), str(result)), self._cells.say)
        found: dict[str, Any] = json.loads(result.read_text())
        if model == BASE or REFUSED in found:
            shutil.rmtree(folder)
        elif made.form == "openvino-int8":
            shutil.rmtree(folder / "scratch" / "merged", ignore_errors=True)
        else:
            shutil.rmtree(folder / "scratch")
        return found

    def _request(self, model: str, made: MadeForm, folder: Path) -> dict[str, Any]:
        is_tuned = model == TUNED
        return {
            "form": made.form,
            "method": made.method,
            "base": str(self._model.base),
            "adapter": str(self._model.adapter) if is_tuned else None,
            "dataset": str(self._model.dataset) if is_tuned else None,
            "choices": self._model.choices if is_tuned else [],
            "scratch": str(folder / "scratch"),
            "target": str(folder / "build"),
            "kept": str(self._work / f"scores-{model}-{made.engine}.json"),
        }

    async def _serve(self, in_flight: str) -> dict[str, Any]:
        folders = {
            served.id: (served.engine, folder)
            for served in served_with(int(in_flight))
            if (folder := self._folder(served)).is_dir()
        }
        rounds, tokens = (QUICK_ROUNDS, QUICK_TOKENS) if self._quick else (ROUNDS, NEW_TOKENS)

        def on_round(name: str, number: int) -> None:
            self._cells.say(f"{in_flight} in flight: {name}, round", number, rounds)

        return await rates_in_flight(folders, int(in_flight), rounds, tokens, on_round)

    def _folder(self, served: ServedForm) -> Path:
        """Of the tuned model: of the same shapes, and so of the same speed, as the base."""
        if served.name != BF16:
            return self._work / TUNED / served.name / "build"
        if served.engine == TRANSFORMERS:
            return self._model.merged
        return self._work / TUNED / "openvino-int8" / "scratch" / REFERENCE

    async def _rival(self, name: str) -> dict[str, Any]:
        return await rival_result(name, self._model, self._work / "rivals" / name, self._cells.say)


def main() -> int:
    """Exit status: 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.forms")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="CELL", help="names, or their beginning"
    )
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    given = parser.parse_args()
    console = Console()
    bench = FormsBench(console, quick=given.quick)
    chosen = chosen_cells(cells(), given.only, always="model")
    if not given.report:
        asyncio.run(bench.run(chosen))
    lines = entries(bench.results)
    said = refusals(bench.results) | bench.absent
    lacking = [Unmeasured(name, why, is_absence=True) for name, why in said.items()]
    show([*lines, *lacking], console)
    if given.keep and not given.quick:
        keep_entries(lines, RESULT, lacking)
    return 0 if all(line.met is not False for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
