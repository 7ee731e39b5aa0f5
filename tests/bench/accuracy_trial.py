"""One seed of accuracy.*: held-out rows, a file with planted copies, and arms trained and scored.

Data-prep's and the trainer's own child processes do the work, as their workers start them.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelmill_cli.demo.recipe import demo_recipe
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import LORA, decide
from modelmill_trainer.train_model import CHILD_ENVIRONMENT

from tests.bench.accuracy_arms import COPIES_SHARE, Arm, arm_spec, source_spec, with_copies
from tests.bench.child_run import child_result
from tests.bench.prep_jobs import dataset_request
from tests.bench.prep_rows import NOUNS, rows_of
from tests.bench.rows_sample import Row
from tests.bench.worker import WorkerFailedError

SOURCE_ROWS = 1_300
"""Rows that each seed draws from; the demo's sample has a few more."""
SPARE = 1.15
"""Rows drawn for each row wanted: some are duplicates, and some near a held-out row."""
THREADS = 1
"""Of a trainer, so that as many arms as there are cores are trained at a time: threads that wait
for each other lose much more where somebody else is busy. Another number would give other sums."""
ENVIRONMENT = {**CHILD_ENVIRONMENT, "OMP_NUM_THREADS": str(THREADS)}
PROCESSES = 1
"""Workers of data-prep; of some hundred rows more have nothing to do."""
PASSES = 2
"""Of the distinct rows of train; what all arms are trained for."""
MOST_EPOCHS = 100
"""More than any arm needs: the number of steps ends a run."""


def _given() -> dict[str, int]:
    """What the demo's training is given."""
    given: dict[str, int] = demo_recipe().training["hyperparameters"]
    return given


@dataclass(frozen=True)
class Size:
    """How much each arm is given."""

    train_rows: int
    """Distinct ones."""
    test_rows: int

    @property
    def steps(self) -> int:
        """Optimizer steps of every arm, all of them full."""
        return max(PASSES * self.train_rows // _given()["batch_size"], 1)


@dataclass(frozen=True)
class Trial:
    """What all arms of a seed have in common."""

    seed: int
    base: Path
    """Hugging Face folder of the base model."""
    file: Path
    """JSON lines: the distinct rows of train and the planted copies."""
    held_out: Path
    """JSON lines: the test rows, as raw rows."""
    test: Path
    """The same as a split of a dataset."""
    choices: tuple[str, ...]
    steps: int


@dataclass(frozen=True)
class Score:
    """What came of an arm."""

    correct: list[bool]
    """Of each test row, in their order, whether the likeliest choice was the true one."""
    base_correct: list[bool]
    """The same of the base model, before training."""
    train_rows: int
    """Of the dataset, those made included."""
    made_rows: int
    steps: int
    tokens: int
    """Read in training, repeats counted."""


async def begin(seed: int, size: Size, base: Path, folder: Path) -> Trial:
    """Draw rows, hold some out, and plant copies among the rest.

    Args:
        folder: Exists; keeps the files of the trial.

    Raises:
        WorkerFailedError: Data-prep failed, or left too few rows.
    """
    count = round(SPARE * (size.train_rows + size.test_rows))
    drawn = random.Random(seed).sample(list(rows_of(NOUNS, SOURCE_ROWS)), count)
    source = _write_rows(folder / "source.jsonl", drawn)
    request = dataset_request([source], source_spec(seed, size.test_rows), folder, PROCESSES)
    result = await child_result("modelmill_data_prep.child", request, folder)
    dataset = Path(request["folder"])
    train, test = (_source_rows(dataset / f"{name}.jsonl", drawn) for name in ("train", "test"))
    if len(train) < size.train_rows or len(test) < size.test_rows:
        raise WorkerFailedError(f"{len(train)} rows to train on and {len(test)} to test are few")
    planted = with_copies(train[: size.train_rows], COPIES_SHARE, seed)
    return Trial(
        seed=seed,
        base=base,
        file=_write_rows(folder / "rows.jsonl", planted),
        held_out=_write_rows(folder / "held_out.jsonl", test),
        test=dataset / "test.jsonl",
        choices=tuple(result["choices"]),
        steps=size.steps,
    )


async def score(trial: Trial, arm: Arm, folder: Path) -> Score:
    """Make the arm's dataset, train on it, and answer the test rows.

    Args:
        folder: Scratch of this arm; exists.

    Raises:
        WorkerFailedError: A child failed, or a held-out text is among those trained on.
    """
    dataset, made_rows = await make_dataset(trial, arm, folder)
    request = _train_request(trial, dataset).as_json()
    result = await child_result("modelmill_trainer.child", request, folder, ENVIRONMENT)
    report = json.loads((Path(result["folder"]) / "evaluation.json").read_bytes())
    summary = result["summary"]
    return Score(
        correct=report["tuned"]["correct"],
        base_correct=report["base"]["correct"],
        train_rows=summary["rows"],
        made_rows=made_rows,
        steps=summary["steps"],
        tokens=summary["train_tokens"],
    )


async def make_dataset(trial: Trial, arm: Arm, folder: Path) -> tuple[Path, int]:
    """The arm's dataset with the trial's test split, and how many of its rows were made.

    Raises:
        WorkerFailedError: Data-prep failed, or a held-out text is among those trained on.
    """
    files = [trial.file, trial.held_out]
    request = dataset_request(files, arm_spec(arm, trial.seed), folder, PROCESSES)
    made = await child_result("modelmill_data_prep.child", request, folder)
    dataset = Path(request["folder"])
    (dataset / "test.jsonl").write_bytes(trial.test.read_bytes())
    asked, held_out = (user_texts(dataset / f"{name}.jsonl") for name in ("train", "test"))
    if leaked := set(asked) & set(held_out):
        raise WorkerFailedError(f"{arm.name}: {len(leaked)} held-out texts are trained on")
    return dataset, int(made["counts"]["rows_made"])


def user_texts(split: Path) -> list[str]:
    """What the user says in each row of a split."""
    return [
        turn["content"]
        for line in split.read_text(encoding="utf-8").splitlines()
        for turn in json.loads(line)["messages"]
        if turn["role"] == "user"
    ]


def _train_request(trial: Trial, dataset: Path) -> TrainRequest:
    given = {
        **_given(),
        "epochs": MOST_EPOCHS,
        "max_steps": trial.steps,
        "seed": trial.seed,
    }
    return TrainRequest(
        base_folder=trial.base,
        base_version_id="bench-base",
        context_tokens=0,
        dataset_folder=dataset,
        checkpoint_folder=None,
        choices=trial.choices,
        hyper_parameters=decide(LORA, given),
        threads=THREADS,
    )


def _write_rows(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path


def _source_rows(split: Path, rows: Sequence[Row]) -> list[Row]:
    """The rows that a split was made of, in its order."""
    lines = split.read_text(encoding="utf-8").splitlines()
    return [rows[json.loads(line)["row"] - 1] for line in lines]
