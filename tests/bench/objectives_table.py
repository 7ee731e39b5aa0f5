"""Every candidate of one model, built once and measured in rounds: the table of `objectives`.

A round measures each candidate once, so that a change of the machine's speed meets all alike.

A candidate that was built or a repeat that was measured before is read from the work folder.
"""

import json
import random
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    repeats: tuple[LoadRepeat, ...] = ()
    """By round; each in a process of its own."""
    repeat_seconds: tuple[float, ...] = ()

    def of_rounds(self, rounds: Sequence[int]) -> "Row":
        """The same candidate, as if only these had been measured."""
        return replace(
            self,
            repeats=tuple(self.repeats[number] for number in rounds),
            repeat_seconds=tuple(self.repeat_seconds[number] for number in rounds),
        )


async def measured_table(subject: Subject, rounds: int) -> dict[str, Row]:
    """All candidates that can be built; the others are said and left out."""
    table = {}
    for form in (SOURCE, *subject.forms):
        try:
            table[form] = Row(form, *await _built(subject, form))
        except WorkerFailedError as error:
            print(f"{form}: {str(error).splitlines()[0][:300]}")
            continue
        print(f"{form}: built in {table[form].build_seconds:.0f} s", flush=True)
    for number in range(rounds):
        for form, row in table.items():
            table[form] = await _with_repeat(subject, row, number)
        print(f"round {number + 1} of {rounds}", flush=True)
    return table


def halves(table: Mapping[str, Row], drawn: random.Random) -> tuple[dict[str, Row], dict[str, Row]]:
    """The table of half of the rounds, which chance chose, and that of the others."""
    rounds = list(range(min(len(row.repeats) for row in table.values())))
    drawn.shuffle(rounds)
    middle = len(rounds) // 2
    one, other = rounds[:middle], rounds[middle:]
    return (
        {form: row.of_rounds(one) for form, row in table.items()},
        {form: row.of_rounds(other) for form, row in table.items()},
    )


async def _with_repeat(subject: Subject, row: Row, number: int) -> Row:
    found, seconds = await _repeat(subject, row.form, number)
    return replace(
        row, repeats=(*row.repeats, found), repeat_seconds=(*row.repeat_seconds, seconds)
    )


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
    return sum(row.build_seconds + repeats * statistics.mean(row.repeat_seconds) for row in rows)
