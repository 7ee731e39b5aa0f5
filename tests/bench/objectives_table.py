"""Every candidate of one model, built once and measured again and again: the table of `objectives`.

A candidate that was built or a repeat that was measured before is read from the work folder.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.adapters.job_workshop import MEASURE_CHILD
from modelmill_optimizer_builder.adapters.weight_headers import count_weights
from modelmill_optimizer_builder.build_model import CHILD, CHILD_ENVIRONMENT
from modelmill_optimizer_builder.domain.candidates import served_forms
from modelmill_optimizer_builder.domain.measurements import LoadRepeat
from modelmill_optimizer_builder.domain.objectives import Figure, Load
from modelmill_optimizer_builder.domain.pareto import SOURCE
from modelmill_optimizer_builder.search_forms import Built

from tests.bench.child_run import child_result
from tests.bench.worker import WorkerFailedError

MOST_LOST = 0.02


@dataclass(frozen=True)
class Subject:
    """The model and the rows that it is searched for, and where results stay."""

    model: Path
    """Hugging Face folder."""
    dataset: Path | None
    """With `test.jsonl` and `train.jsonl`."""
    choices: tuple[str, ...]
    max_rows: int
    load: Load
    work: Path
    forms: tuple[str, ...] = tuple(form.name for form in served_forms())

    @property
    def weights_bytes(self) -> int:
        """In bf16."""
        return count_weights(self.model).bf16_bytes


@dataclass(frozen=True)
class Row:
    """One candidate of the table."""

    form: str
    built: Built
    build_seconds: float
    repeats: tuple[LoadRepeat, ...]
    repeat_seconds: tuple[float, ...]


async def measured_table(subject: Subject, repeats: int) -> dict[str, Row]:
    """All candidates that can be built; the others are said and left out."""
    table = {}
    for form in (SOURCE, *subject.forms):
        try:
            table[form] = await _row(subject, form, repeats)
        except WorkerFailedError as error:
            print(f"{form}: {str(error).splitlines()[0][:300]}")
            continue
        print(f"{form}: built in {table[form].build_seconds:.0f} s")
    return table


async def fresh_repeat(subject: Subject, form: str, number: int) -> LoadRepeat:
    """One more repeat, of a number that the table does not have."""
    found, _ = await _repeat(subject, form, number)
    return found


async def _row(subject: Subject, form: str, repeats: int) -> Row:
    built, seconds = await _built(subject, form)
    found = [await _repeat(subject, form, number) for number in range(repeats)]
    return Row(form, built, seconds, tuple(it for it, _ in found), tuple(it for _, it in found))


async def _built(subject: Subject, form: str) -> tuple[Built, float]:
    if form == SOURCE:
        return Built(subject.weights_bytes, Figure.exact(0.0), agreement=1.0), 0.0
    folder = subject.work / form
    record = folder / "built.json"
    if not record.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        made = await child_result(CHILD, _request(subject, form), folder, CHILD_ENVIRONMENT)
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        said = {"seconds": time.monotonic() - began, "figures": made["figures"]}
        record.write_text(json.dumps(said), encoding="utf-8")
    said = json.loads(record.read_text(encoding="utf-8"))
    figures = said["figures"]
    loss = None
    if "accuracy_loss" in figures:
        loss = Figure(*(figures[f"accuracy_loss{end}"] for end in ("", "_low", "_high")))
    return Built(int(figures["bytes"]), loss, figures["parity_greedy_agreement"]), said["seconds"]


def _request(subject: Subject, form: str) -> dict[str, Any]:
    """As the worker of a search asks its child."""
    return {
        "form": form,
        "base": str(subject.model),
        "adapter": None,
        "dataset": None if subject.dataset is None else str(subject.dataset),
        "choices": list(subject.choices),
        "max_rows": subject.max_rows,
        "max_accuracy_loss": MOST_LOST,
        "tuned": None,
        "target": str(subject.work / form / "build"),
        "is_candidate": True,
    }


async def _repeat(subject: Subject, form: str, number: int) -> tuple[LoadRepeat, float]:
    load = subject.load
    named = f"{load.prompt_tokens}-{load.output_tokens}-{load.in_flight}-{number}"
    folder = subject.work / "repeats" / form / named
    record = folder / "repeat.json"
    if not record.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        build = subject.model if form == SOURCE else subject.work / form / "build"
        request = {
            "form": form,
            "folder": str(build),
            "adapter": None,
            "tokenizer": str(subject.model),
            "load": load.as_json(),
        }
        began = time.monotonic()
        found = await child_result(MEASURE_CHILD, request, folder, CHILD_ENVIRONMENT)
        said = {"seconds": time.monotonic() - began, "repeat": found}
        record.write_text(json.dumps(said), encoding="utf-8")
    said = json.loads(record.read_text(encoding="utf-8"))
    return LoadRepeat.of_json(said["repeat"]), said["seconds"]


def seconds_of(rows: Sequence[Row], repeats: int) -> float:
    """What an exhaustive search takes that measures each candidate so often."""
    return sum(row.build_seconds + sum(row.repeat_seconds[:repeats]) for row in rows)
