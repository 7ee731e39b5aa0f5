"""The whole matrix: every task, its base, and every arm beside it on the same rows."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from modelmill_cli.errors import WorkFailedError
from modelmill_evaluation.intervals import paired_difference

from tests.bench.methods.ledger import Result
from tests.bench.methods.recipe import Arm, Recipe, Task
from tests.bench.methods.steps import SPLITS, Steps

Interval = dict[str, float]
"""`value`, `low` and `high`, as shares."""


@dataclass(frozen=True)
class ArmResult:
    """One arm with one seed; the base is one without a method."""

    name: str
    method: str
    objective: str
    after: str
    seed: int
    hyper_parameters: dict[str, Any]
    accuracy: Interval
    over_base: Interval | None
    """Accuracy minus that of the base, rows paired; None for the base."""
    rows: int
    """That it was measured on."""
    cost: dict[str, Any]
    """What training took: see `COSTS`."""


@dataclass(frozen=True)
class TaskResult:
    """A task with all its arms, the base first."""

    name: str
    title: str
    rows: dict[str, int]
    """By split."""
    answers: int
    """Different ones, of which one is right."""
    commonest: float
    """Accuracy of who always says the commonest answer."""
    arms: list[ArmResult] = field(default_factory=list)


COSTS = (
    "train_seconds", "unit_seconds", "rows", "train_tokens", "steps", "flops", "peak_memory_bytes",
    "trained_weights", "cost", "currency", "first_loss", "last_loss", "valid_loss",
)  # fmt: skip
"""Of a job's summary."""


def measure(recipe: Recipe, steps: Steps) -> Iterator[TaskResult]:
    """Each task once it is done; what was done before is not done again."""
    base = steps.base()
    for task in recipe.tasks:
        yield _task(task, base, steps)


def _task(task: Task, base: str, steps: Steps) -> TaskResult:
    file_id = steps.upload(task)
    talks = steps.dataset(task, file_id, pairs=False)
    pairs = steps.dataset(task, file_id, pairs=True) if task.has_preferences else talks
    _see_same_splits(task, talks, pairs)
    beside = steps.score(task, "base", version=base, dataset=talks)
    known = (_sizes(talks), beside["answers"], beside["commonest"])
    result = TaskResult(task.name, task.title, *known, [_base(beside)])
    versions = {"": base}
    for arm in task.arms:
        rows = pairs if arm.objective == "dpo" else talks
        for seed in arm.seeds:
            made = steps.train(
                task, arm, seed, start=versions[arm.after], dataset_id=rows["dataset_id"]
            )
            versions[arm.name] = made["version_id"]
            name = f"{arm.name}-{seed}"
            scored = steps.score(task, name, version=made["version_id"], dataset=talks)
            result.arms.append(_arm(arm, seed, made, scored, beside))
    return result


def _see_same_splits(task: Task, talks: Result, pairs: Result) -> None:
    """Whoever learns from pairs must have seen the same rows, and none of the test's."""
    if _sizes(talks) != _sizes(pairs):
        raise WorkFailedError(
            f"{task.name}: the dataset of pairs has other splits, {_sizes(pairs)}, than that of"
            f" conversations, {_sizes(talks)}"
        )


def _sizes(dataset: Result) -> dict[str, int]:
    return {split: int(dataset["summary"].get(split) or 0) for split in SPLITS}


def _base(scored: Result) -> ArmResult:
    rows = len(scored["correct"])
    return ArmResult("base", "", "", "", 0, {}, _interval(scored["accuracy"]), None, rows, {})


def _arm(arm: Arm, seed: int, made: Result, scored: Result, beside: Result) -> ArmResult:
    both = [row for row in scored["correct"] if row in beside["correct"]]
    difference = asdict(
        paired_difference(
            [scored["correct"][row] for row in both], [beside["correct"][row] for row in both]
        )
    )
    summary = made["summary"]
    return ArmResult(
        arm.name,
        arm.method,
        arm.objective,
        arm.after,
        seed,
        arm.hyper_parameters,
        _interval(scored["accuracy"]),
        _interval(difference | {"value": difference["mean"]}),
        len(both),
        {name: summary[name] for name in COSTS if name in summary}
        | {"artifact_bytes": made["size_bytes"]},
    )


def _interval(figures: dict[str, Any]) -> Interval:
    return {name: float(figures[name]) for name in ("value", "low", "high")}
