"""A run divided among ranks is the run of one process, and ends the same however it is broken off.

Ranks are forked (support/ranks_of_one_machine.py); with torchrun and real kills at every step it is
support/kill_ranks.py, by hand.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmill_trainer.domain.limits import TrainingLimits
from safetensors import safe_open
from trainer_support.rank_runs import WEIGHT_TOLERANCE, apart, outcomes, request_of

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(240)]

ROWS, STEPS = 11, 3
INTERRUPTIONS = [{"die_at": 1, "rank": 1}, {"stop_at": 2, "rank": 1}]
KILLED, PREEMPTED = signal.SIGKILL.value, 3 << 8
LOSS_TOLERANCE = 1e-4
"""Relative; sums of float32 in another order, over three steps at a high rate."""


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_base: Path,
    toy_rows: Callable[..., list[dict[str, Any]]],
    write_splits: Callable[..., Path],
) -> dict[str, Any]:
    """What came of each run."""
    root = tmp_path_factory.mktemp("ranks")
    rows = write_splits(root / "rows", {"train": toy_rows(ROWS), "valid": toy_rows(2, first=ROWS)})
    # All ranks measure, and the leader keeps the best weights.
    limits = TrainingLimits(evaluation_steps=2)
    one, two = (request_of(tiny_base, rows, ranks, limits) for ranks in (1, 2))
    runs = {
        "one": {"request": one, "interruptions": []},
        "two": {"request": two, "interruptions": []},
        "broken": {"request": two, "interruptions": INTERRUPTIONS},
        "changed": {"request": two, "interruptions": [{"stop_at": 1}], "last": {"ranks": 1}},
    }
    outcome = outcomes(root, runs)
    assert [run["ended"] for run in outcome.values()] == [0] * len(runs), outcome
    return outcome


def losses(run: dict[str, Any]) -> list[float]:
    return [step["loss"] for step in run["steps"]]


def weights(run: dict[str, Any]) -> dict[str, Any]:
    with safe_open(Path(run["folder"]) / "adapter_model.safetensors", "np") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118


def check_same_run(run: dict[str, Any], other: dict[str, Any]) -> None:
    assert losses(run) == pytest.approx(losses(other), rel=LOSS_TOLERANCE)
    mine, others = weights(run), weights(other)
    assert mine.keys() == others.keys()
    for name, weight in mine.items():
        assert apart(weight, others[name]) < WEIGHT_TOLERANCE, name


def test_two_ranks_match_a_single_process(report: dict[str, Any]) -> None:
    one, two = report["one"], report["two"]

    assert two["files"] == one["files"]
    assert len(one["steps"]) == STEPS
    # Step, learning rate and tokens are those of the whole step.
    for mine, others in zip(two["steps"], one["steps"], strict=True):
        for name in ("step", "learning_rate", "tokens"):
            assert mine[name] == others[name]
        for name in mine.keys() & {"grad_norm", "valid_loss"}:
            assert mine[name] == pytest.approx(others[name], rel=10 * LOSS_TOLERANCE)
    assert [step["step"] for step in two["steps"] if "valid_loss" in step] == [2, 3]
    check_same_run(two, one)


def test_a_killed_or_stopped_rank_changes_no_bit_of_the_result(report: dict[str, Any]) -> None:
    broken, two = report["broken"], report["two"]

    assert broken["statuses"] == [KILLED, PREEMPTED]
    for part in ("model", "optimizer", "random", "positions", "steps"):
        assert broken[part] == two[part], part
    assert len(two["optimizer"]) == 2


def test_a_run_resumes_with_another_number_of_ranks(report: dict[str, Any]) -> None:
    changed, two = report["changed"], report["two"]

    assert changed["statuses"] == [PREEMPTED]
    assert len(changed["optimizer"]) == 1
    check_same_run(changed, two)
