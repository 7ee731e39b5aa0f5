"""compression.*: what pruned and distilled models cost and give, before and after training.

    BENCH_DATA=FOLDER python -m tests.bench.compression [--only CELL ...] [--keep] [--quick]

Model and rows are those of `tests.bench.forms`. Each shape is cut from the tuned model by the
product's own child, and learns from the whole one with the defaults of a recipe that prunes;
`distilled` is the base, unpruned, that learns from the tuned model.

`compression.bytes.S`: MB of bf16 safetensors, over the whole model. `compression.score.S.before`
and `.after`: points lost beside the whole model, same rows. `compression.general.S.WHEN`:
perplexity of general text. `compression.cost.S`: minutes of training. `compression.speed.S.N`:
tokens/s of the int8 build with N in flight, over the whole model's int8 in the same round.
`compression.memory.S`: of the engine's process. `compression.support.S.ENGINE`: largest difference
of logits that a check found, in parts of their spread; for transformers beside the whole model in
which the same parts are silent.
`compression.exit.*`: points lost where each answer leaves at a layer, or at the first confident
one, by a model that learned to; `compression.exit.speed`: seconds of answers with exits over those
without, one in flight in torch. See `early_exit_child`.

A cell that is done is kept in build/bench/ until code or a library that makes it changes. About
four hours on two cores. `--only` does cells of these names, or whose names begin so; `--report`
none. `--quick` shows that it works. `--keep` writes deploy/bench/compression.json in place of the
entries of the same ids.
"""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from modelmill_recipes.recipe import BY_WHOLE_MODEL
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.train_model import CHILD_ENVIRONMENT
from rich.console import Console

from tests.bench.child_run import child_result
from tests.bench.child_steps import run_steps
from tests.bench.compression_cells import (
    BUILT,
    COMPRESSION_SOURCES,
    DISTILLED,
    EXIT_LAYERS,
    EXITS,
    INT8,
    ONNX_BUILT,
    ONNX_INT8,
    PRUNED,
    RECOVERED,
    SHAPES,
    STUDENTS,
    SUPPORT_ROWS,
    TIMED_ROWS,
    WHOLE,
    Student,
    cells,
)
from tests.bench.compression_figures import entries
from tests.bench.forms import CHILD, QUICK_ROUNDS, QUICK_TOKENS, ROUNDS
from tests.bench.forms_cells import MODEL_SOURCES, OPENVINO, digest
from tests.bench.forms_model import FULL, QUICK, SEED, FormsModel, make_model, require_rows
from tests.bench.forms_served import NEW_TOKENS, rates_in_flight
from tests.bench.harness import WORK_FOLDER
from tests.bench.kept_cells import Cell, KeptCells, chosen_cells
from tests.bench.kept_entries import keep_entries
from tests.bench.report import show

RESULT = Path("deploy/bench/compression.json")
MODEL = "model"


class CompressionBench:
    """The cells, and what they found."""

    def __init__(self, console: Console, *, quick: bool) -> None:
        self._quick = quick
        model = WORK_FOLDER / "forms" / f"model-{digest(MODEL_SOURCES, quick=quick)}"
        made = digest((*MODEL_SOURCES, *COMPRESSION_SOURCES), quick=quick)
        self._work = WORK_FOLDER / "compression" / made
        self._cells = KeptCells(self._work / "results", console)
        self._model = FormsModel(model)

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """What is known, by cell."""
        return self._cells.results

    async def run(self, chosen: Sequence[Cell]) -> None:
        """Do the cells that are not done."""
        await self._cells.run(chosen, self._do)

    async def _do(self, name: str) -> dict[str, Any]:
        kind, _, which = name.partition(".")
        steps: dict[str, Callable[[str], Awaitable[dict[str, Any]]]] = {
            MODEL: self._make_model,
            PRUNED: self._prune,
            RECOVERED: self._recover,
            BUILT: lambda which: self._build(BUILT, which, INT8, 0),
            ONNX_BUILT: lambda which: self._build(ONNX_BUILT, which, ONNX_INT8, SUPPORT_ROWS),
            EXITS: self._leave_early,
            "served": self._serve,
        }
        return await steps[kind](which)

    async def _make_model(self, _which: str) -> dict[str, Any]:
        amount = QUICK if self._quick else FULL
        model = await make_model(self._model.root, amount)
        require_rows(model, amount)
        return {"test_rows": amount.test}

    async def _prune(self, name: str) -> dict[str, Any]:
        [shape] = [each for each in SHAPES if each.name == name]
        own = {"form": PRUNED, "pruning": dict(shape.pruning), "adapter": str(self._model.adapter)}
        kept = str(self._work / "scores-whole.json")
        return await self._made(PRUNED, name, own | {"base": str(self._model.base), "kept": kept})

    async def _recover(self, name: str) -> dict[str, Any]:
        [student] = [each for each in STUDENTS if each.name == name]
        work = self._folder(RECOVERED, name)
        request = self._training(student)
        result = await child_result(
            "modelmill_trainer.child", request.as_json(), work, CHILD_ENVIRONMENT
        )
        return _taken(result, self._built(RECOVERED, name))

    def _training(self, student: Student) -> TrainRequest:
        """As a recipe that prunes orders it, unless the student says else."""
        model, given = self._model, {"seed": SEED, **student.training}
        method = given.pop("method", BY_WHOLE_MODEL["training_method"])
        base = self._built(PRUNED, student.shape) if student.shape else model.base
        return TrainRequest(
            base_folder=base,
            base_version_id=f"bench-{student.name}",
            context_tokens=0,
            dataset_folder=model.dataset,
            checkpoint_folder=None,
            choices=tuple(model.choices),
            hyper_parameters=decide(method, given, objective=BY_WHOLE_MODEL["objective"]),
            threads=0,
            teacher_folder=model.base,
            teacher_adapter_folder=model.adapter,
        )

    async def _leave_early(self, _which: str) -> dict[str, Any]:
        folder = self._folder(EXITS, "all")
        request, result = folder / "request.json", folder / "result.json"
        amount = QUICK if self._quick else FULL
        asked = {
            "model": str(self._model.merged),
            "dataset": str(self._model.dataset),
            "choices": self._model.choices,
            "rows": [amount.train, None, amount.test],
            "exits": EXIT_LAYERS,
            "timed": min(TIMED_ROWS, amount.test),
        }
        request.write_text(json.dumps(asked), encoding="utf-8")
        await run_steps(
            "tests.bench.early_exit_child", (str(request), str(result)), self._cells.say
        )
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found

    async def _build(self, kind: str, name: str, form: str, rows: int) -> dict[str, Any]:
        """A form of what was learned, or of the whole model."""
        model = self._model
        base = model.base if name == WHOLE else self._built(RECOVERED, name)
        own = {
            "form": form,
            "base": str(base),
            "adapter": str(model.adapter) if name == WHOLE else None,
            "kept": str(self._work / f"scores-{kind}-{name}.json"),
            "max_rows": rows,
        }
        return await self._made(kind, name, own)

    async def _made(self, kind: str, name: str, own: dict[str, Any]) -> dict[str, Any]:
        folder = self._folder(kind, name)
        request, result = folder / "request.json", folder / "result.json"
        asked = {
            "method": "",
            "dataset": str(self._model.dataset),
            "choices": self._model.choices,
            "scratch": str(folder / "scratch"),
            "target": str(self._built(kind, name)),
        }
        request.write_text(json.dumps(asked | own), encoding="utf-8")
        await run_steps(CHILD, ("build", str(request), str(result)), self._cells.say)
        shutil.rmtree(folder / "scratch")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found

    async def _serve(self, in_flight: str) -> dict[str, Any]:
        names = (WHOLE, *(shape.name for shape in SHAPES), DISTILLED)
        folders = {
            name: (OPENVINO, folder)
            for name in names
            if (folder := self._built(BUILT, name)).is_dir()
        }
        rounds, tokens = (QUICK_ROUNDS, QUICK_TOKENS) if self._quick else (ROUNDS, NEW_TOKENS)

        def on_round(name: str, number: int) -> None:
            self._cells.say(f"{in_flight} in flight: {name}, round", number, rounds)

        return await rates_in_flight(folders, int(in_flight), rounds, tokens, on_round)

    def _built(self, kind: str, name: str) -> Path:
        return self._work / kind / name / "build"

    def _folder(self, kind: str, name: str) -> Path:
        """Made anew."""
        folder = self._work / kind / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def _taken(result: dict[str, Any], target: Path) -> dict[str, Any]:
    """What a training found; its model moves to `target`."""
    Path(result["folder"]).rename(target)
    report = json.loads((target / "evaluation.json").read_text(encoding="utf-8"))
    return {"summary": result["summary"], "differences": report["differences"]}


def main() -> int:
    """Exit status: 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.compression")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="CELL", help="names, or their beginning"
    )
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    given = parser.parse_args()
    console = Console()
    bench = CompressionBench(console, quick=given.quick)
    if not given.report:
        asyncio.run(bench.run(chosen_cells(cells(), given.only, always=MODEL)))
    lines = entries(bench.results)
    show(lines, console)
    if given.keep and not given.quick:
        keep_entries(lines, RESULT)
    return 0 if all(line.met is not False for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
