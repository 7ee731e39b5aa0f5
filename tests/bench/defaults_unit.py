"""One run of defaults.*: the rows of its cell by data-prep's child, the rest by the trainer's."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_cli.demo.recipe import demo_mapping
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.domain.methods import DPO

from tests.bench.child_run import child_result
from tests.bench.defaults_cells import CORPORA, Cell, Unit
from tests.bench.defaults_child import train_for
from tests.bench.prep_jobs import dataset_request
from tests.bench.prep_rows import NOUNS, REVIEWS, rows_of
from tests.bench.prep_spec import LIMITS
from tests.bench.worker import WorkerFailedError

DRAW_SEED = 1
"""Of the rows: all runs of a corpus are asked the same test rows, and learn of the same others."""
SOURCE_ROWS = 30_000
DRAWN_ROWS = 6_000
MOST_CHARACTERS = 40
"""Of a review: those of up to so many are 43 % of the corpus, and take a third of the time."""
VALID_ROWS, TEST_ROWS = 100, 1_000
SHARES = {"train": 0.7, "valid": 0.05, "test": 0.25}
THRESHOLD = LIMITS["near_threshold"]
PROCESSES = 1
FIGURES = (
    *("rows", "steps", "train_tokens", "train_seconds", "first_valid_loss", "valid_loss"),
    *("chosen", "learned", "advice"),
)
"""What is kept of a run's summary."""


@dataclass(frozen=True)
class Corpus:
    """Rows of train, valid and test, no two of them near duplicates."""

    folder: Path
    choices: tuple[str, ...]


async def make_corpus(name: str, folder: Path) -> Corpus:
    """Draw rows and let data-prep free them of duplicates and split them.

    Args:
        folder: Where they go; exists.

    Raises:
        WorkerFailedError: Data-prep failed.
        OSError: There are no such rows.
    """
    request = dataset_request([_draw(name, folder)], _spec(name), folder, PROCESSES)
    result = await child_result("modelmill_data_prep.child", request, folder)
    return Corpus(folder / "dataset", tuple(result["choices"]))


def _draw(name: str, folder: Path) -> Path:
    kind = CORPORA[name]
    rows = list(rows_of(kind, SOURCE_ROWS))
    if kind is REVIEWS:
        rows = [row for row in rows if len(row["text"]) <= MOST_CHARACTERS]
    drawn = random.Random(DRAW_SEED).sample(rows, DRAWN_ROWS)
    file = folder / "rows.jsonl"
    _write(file, drawn)
    return file


def _spec(name: str) -> dict[str, Any]:
    kind = CORPORA[name]
    mapping = (
        demo_mapping()
        if kind is NOUNS
        else {"user_template": kind.template, "answer_template": "{label}"}
    )
    return {
        "name": f"defaults-{name}",
        "file_id": "file-bench",
        "mapping": mapping,
        "seed": DRAW_SEED,
        "shares": SHARES,
        "max_test_rows": TEST_ROWS,
        "duplicates": {"near_threshold": THRESHOLD, "contamination_threshold": THRESHOLD},
    }


def write_dataset(cell: Cell, corpus: Corpus, folder: Path) -> Path:
    """The dataset of a cell: the first rows of the corpus's train split, and all its test rows.

    Raises:
        WorkerFailedError: There are too few.
    """
    folder.mkdir()
    chance = random.Random(DRAW_SEED)
    for split, count in (("train", cell.rows), ("valid", VALID_ROWS), ("test", TEST_ROWS)):
        lines = (corpus.folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
        if len(lines) < count:
            raise WorkerFailedError(f"{cell.corpus}: {len(lines)} rows of {split} are few")
        rows = [json.loads(line) for line in lines]
        if cell.way == DPO:
            rows = [_pair(row, corpus.choices, chance) for row in rows]
        _write(folder / f"{split}.jsonl", rows)
    return folder


def _pair(row: dict[str, Any], choices: Sequence[str], chance: random.Random) -> dict[str, Any]:
    """The row with one of the wrong labels as its worse answer."""
    right = row["messages"][-1]["content"]
    return {**row, "rejected": chance.choice([one for one in choices if one != right])}


def _write(path: Path, rows: Sequence[Any]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


async def run_unit(
    unit: Unit,
    corpus: Corpus,
    base: Path,
    base_correct: Sequence[bool] | None,
    folder: Path,
    kept: Path,
    seconds: float,
) -> dict[str, Any] | None:
    """Train and score; None where the time was not enough, and a checkpoint is kept.

    Args:
        base: Hugging Face folder of the base model.
        base_correct: What the base answers rightly; None to ask it.
        folder: Scratch; exists.
        kept: Where checkpoints lie between two calls; made.

    Raises:
        WorkerFailedError: The trainer failed.
    """
    dataset = write_dataset(unit.cell, corpus, folder / "cell")
    request = _request(unit, dataset, corpus.choices, base, base_correct)
    result = await train_for(request, folder, kept, seconds)
    if result is None:
        return None
    report = json.loads((Path(result["folder"]) / "evaluation.json").read_bytes())
    summary = result["summary"]
    return {
        # Of all calls, and of one thread.
        "seconds": round(summary["unit_seconds"]),
        **{name: summary[name] for name in FIGURES if name in summary},
        "correct": marks(report["tuned"]["correct"]),
        "base_correct": marks(report["base"]["correct"]),
    }


def _request(
    unit: Unit,
    dataset: Path,
    choices: tuple[str, ...],
    base: Path,
    base_correct: Sequence[bool] | None,
) -> TrainRequest:
    given = {"learning_rate": unit.rate, "seed": unit.seed}
    return TrainRequest(
        base_folder=base,
        base_version_id="bench-base",
        context_tokens=0,
        dataset_folder=dataset,
        checkpoint_folder=None,
        choices=choices,
        hyper_parameters=decide(unit.cell.method, given, objective=unit.cell.objective),
        threads=1,
        base_correct=None if base_correct is None else tuple(base_correct),
    )


def marks(correct: Sequence[bool]) -> str:
    """A row of 0 and 1."""
    return "".join("01"[one] for one in correct)


def correct_of(marked: str) -> list[bool]:
    """What `marks` wrote."""
    return [mark == "1" for mark in marked]
