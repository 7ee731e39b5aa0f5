"""The models of forms.*: the demo's base, and an adapter of it with rows that it never saw.

Rows are WordNet's nouns of BENCH_DATA: a word and its gloss to one of 25 kinds.
"""

import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_cli.demo.recipe import demo_mapping
from modelmill_evaluation.choices import choice_questions
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.train_model import CHILD_ENVIRONMENT

from tests.bench.built_model import python
from tests.bench.child_run import child_result
from tests.bench.prep_jobs import dataset_request
from tests.bench.prep_rows import NOUNS, VARIABLE, rows_of
from tests.bench.prep_spec import LIMITS
from tests.bench.worker import WorkerFailedError

SEED = 1
SOURCE_ROWS = 30_000
SHARES = {"train": 0.6, "valid": 0.05, "test": 0.35}
WATCHED_ROWS = 64
CALIBRATION_ROWS = 256
"""For rivals: training rows as the model reads them."""


@dataclass(frozen=True)
class Amount:
    """How many rows."""

    drawn: int
    train: int
    test: int


FULL = Amount(drawn=6_000, train=3_000, test=1_500)
QUICK = Amount(drawn=900, train=192, test=64)


@dataclass(frozen=True)
class FormsModel:
    """Folders that everything is made of."""

    root: Path

    @property
    def base(self) -> Path:
        """bf16 safetensors, as Hugging Face has them."""
        return self.root / "base"

    @property
    def adapter(self) -> Path:
        """LoRA, with the goldens of its training."""
        return self.root / "adapter"

    @property
    def dataset(self) -> Path:
        """train, valid and test."""
        return self.root / "dataset"

    @property
    def merged(self) -> Path:
        """Base and adapter in one, for rivals."""
        return self.root / "merged"

    @property
    def questions(self) -> Path:
        """Test rows as token ids, for rivals; see `write_questions`."""
        return self.root / "questions.json"

    @property
    def choices(self) -> list[str]:
        """Labels."""
        found: list[str] = json.loads((self.root / "choices.json").read_text(encoding="utf-8"))
        return found


async def make_model(root: Path, amount: Amount) -> FormsModel:
    """Base, rows and adapter in a folder; those that are there stay.

    Raises:
        WorkerFailedError: Data-prep or trainer failed, or no rows are named.
        NotBuiltError: The base cannot be made.
        OSError: There are no rows.
    """
    model = FormsModel(_made(root))
    if not model.base.is_dir():
        await python(["deploy/demo/base_model.py", str(model.base)])
    if not model.dataset.is_dir():
        await _make_dataset(model, amount)
    if not model.adapter.is_dir():
        await _train(model)
    if not model.merged.is_dir():
        arguments = ("merge", str(model.base), str(model.adapter), str(model.merged))
        await python(["-m", "tests.bench.forms_child", *arguments])
    if not model.questions.is_file():
        write_questions(model)
    return model


async def _make_dataset(model: FormsModel, amount: Amount) -> None:
    if VARIABLE not in os.environ:
        raise WorkerFailedError(f"there are too few rows. {VARIABLE} must name a folder of more")
    work = model.root / "rows"
    work.mkdir(exist_ok=True)
    drawn = random.Random(SEED).sample(list(rows_of(NOUNS, SOURCE_ROWS)), amount.drawn)
    file = work / "rows.jsonl"
    _write(file, drawn)
    spec = {
        "name": "forms",
        "file_id": "file-bench",
        "mapping": demo_mapping(),
        "seed": SEED,
        "shares": SHARES,
        "max_test_rows": amount.test,
        "duplicates": {
            "near_threshold": LIMITS["near_threshold"],
            "contamination_threshold": LIMITS["near_threshold"],
        },
    }
    request = dataset_request([file], spec, work, 1)
    result = await child_result("modelmill_data_prep.child", request, work)
    folder = work / "dataset"
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()[: amount.train]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (model.root / "choices.json").write_text(json.dumps(list(result["choices"])))
    folder.rename(model.dataset)


async def _train(model: FormsModel) -> None:
    """One pass of LoRA; a few test rows, since builds score the others."""
    work = model.root / "training"
    seen = work / "dataset"
    seen.mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid", "test"):
        lines = (model.dataset / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        kept = lines if split == "train" else lines[:WATCHED_ROWS]
        (seen / f"{split}.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    request = TrainRequest(
        base_folder=model.base,
        base_version_id="bench-base",
        context_tokens=0,
        dataset_folder=seen,
        checkpoint_folder=None,
        choices=tuple(model.choices),
        hyper_parameters=decide("lora", {"seed": SEED, "epochs": 1, "batch_size": 16}),
        threads=0,
    )
    result = await child_result(
        "modelmill_trainer.child", request.as_json(), work, CHILD_ENVIRONMENT
    )
    _move(result["folder"], model.adapter)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _move(folder: str, target: Path) -> None:
    Path(folder).rename(target)


def write_questions(model: FormsModel) -> None:
    """Test rows with all choices, and training rows to calibrate with, as token ids."""
    tokenizer = ChatTokenizer.load(model.base)
    rows = _read(model.dataset / "test.jsonl")
    questions = choice_questions(rows, model.choices, tokenizer)
    trained = _read(model.dataset / "train.jsonl")[:CALIBRATION_ROWS]
    content = {
        "choices": [list(choice) for choice in questions[0].choices],
        "rows": [{"prompt": list(each.prompt_ids), "answer": each.answer} for each in questions],
        "calibration": [tokenizer.encode_example(row["messages"]).ids for row in trained],
    }
    model.questions.write_text(json.dumps(content))


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write(path: Path, rows: Sequence[Any]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def require_rows(model: FormsModel, amount: Amount) -> None:
    """Refuse a model whose test rows are too few.

    Raises:
        WorkerFailedError: They are.
    """
    found = len(_read(model.dataset / "test.jsonl"))
    if found < amount.test:
        raise WorkerFailedError(f"{found} test rows are too few. Draw more than {amount.drawn}")
