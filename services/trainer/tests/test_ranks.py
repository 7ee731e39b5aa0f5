"""A run divided among ranks is the run of one process, and ends the same however it is broken off.

What ends it early ends it in all ranks at one step; what ends one rank ends all. Ranks are forked
(support/ranks_of_one_machine.py) from one process, which imports torch and DeepSpeed for all runs;
with torchrun and real kills at every step it is support/kill_ranks.py, by hand.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.child import ChildFailure, ChildPort
from modelmill_trainer.domain.limits import MachinePrice, TrainingLimits
from modelmill_trainer.launching.launcher import DISCONNECTED
from modelmill_trainer.launching.run_ranks import RanksDiedError, _Relay
from safetensors.numpy import load_file
from trainer_support.rank_runs import WEIGHT_TOLERANCE, apart, outcomes, request_of

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

ROWS, STEPS = 11, 3
INTERRUPTIONS = [{"die_at": 1, "rank": 1}, {"stop_at": 2, "rank": 1}]
KILLED, PREEMPTED, REFUSED = signal.SIGKILL.value, 3 << 8, 4 << 8
LOSS_TOLERANCE = 1e-4
"""Relative; sums of float32 in another order, over three steps at a high rate."""
LIMITED_EPOCHS = 4
# Ten seconds pass for the leader between two looks, of which each step has two or three; for the
# other rank none, or a day.
SLOW_OTHER, FAST_OTHER = [10.0, 0.001], [10.0, 86_400.0]
FIRST_IS_BEST = TrainingLimits(evaluation_steps=1, patience=2, min_improvement=100.0)
"""No measure is so much better than the first one, so the third ends the run."""


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_base: Path,
    toy_rows: Callable[..., list[dict[str, Any]]],
    write_splits: Callable[..., Path],
) -> dict[str, Any]:
    """What came of each run."""
    root = tmp_path_factory.mktemp("ranks")
    rows, limited_rows = (
        write_splits(
            root / f"rows-{valid}",
            {"train": toy_rows(ROWS), "valid": toy_rows(valid, first=ROWS)},
        )
        for valid in (2, 3)
    )
    return outcomes(root, divided_runs(tiny_base, rows) | limited_runs(tiny_base, limited_rows))


def divided_runs(base: Path, rows: Path) -> dict[str, Any]:
    """The same run by one process and by two ranks, undisturbed and broken off."""
    # All ranks measure, and the leader keeps the best weights.
    limits = TrainingLimits(evaluation_steps=2)
    one, two = (request_of(base, rows, ranks, limits) for ranks in (1, 2))
    return {
        "one": {"request": one, "interruptions": []},
        "two": {"request": two, "interruptions": []},
        "broken": {"request": two, "interruptions": INTERRUPTIONS},
        "changed": {"request": two, "interruptions": [{"stop_at": 1}], "last": {"ranks": 1}},
    }


def limited_runs(base: Path, rows: Path) -> dict[str, Any]:
    """Runs that end early."""

    def asked(limits: TrainingLimits, ranks: int = 2, **more: Any) -> dict[str, Any]:
        return request_of(base, rows, ranks, limits, epochs=LIMITED_EPOCHS, **more)

    def ordered(request: dict[str, Any], *interruptions: Any, **last: Any) -> dict[str, Any]:
        return {"request": request, "interruptions": list(interruptions), "last": last}

    seconds, price = TrainingLimits(max_seconds=25), MachinePrice(per_hour=36.0, currency="EUR")
    # Two cores at 36 an hour: 0.2 in ten seconds.
    cost = TrainingLimits(max_cost=0.5)
    plateau = asked(FIRST_IS_BEST)
    return {
        "max_steps": ordered(asked(TrainingLimits(), max_steps=2)),
        "max_seconds": ordered(asked(seconds), seconds_a_look=SLOW_OTHER),
        "max_cost": ordered(asked(cost, price=price), seconds_a_look=FAST_OTHER),
        "plateau": ordered(plateau),
        "broken plateau": ordered(plateau, {"die_at": 2, "rank": 1}),
        "plateau of one": ordered(asked(FIRST_IS_BEST, ranks=1)),
        "no memory for a step": ordered(plateau, no_memory_for="step", rank=1),
        "no memory for a measure": ordered(plateau, no_memory_for="valid", rank=1),
    }


def losses(run: dict[str, Any]) -> list[float]:
    return [step["loss"] for step in run["steps"]]


def weights(run: dict[str, Any]) -> dict[str, Any]:
    return load_file(Path(run["folder"]) / "adapter_model.safetensors")


def check_same_run(run: dict[str, Any], other: dict[str, Any]) -> None:
    assert losses(run) == pytest.approx(losses(other), rel=LOSS_TOLERANCE)
    mine, others = weights(run), weights(other)
    assert mine.keys() == others.keys()
    for name, weight in mine.items():
        assert apart(weight, others[name]) < WEIGHT_TOLERANCE, name


def test_two_ranks_match_a_single_process(report: dict[str, Any]) -> None:
    one, two = report["one"], report["two"]

    assert one["ended"] == two["ended"] == 0, two["said"]
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


@pytest.mark.parametrize(
    ("limit", "steps"), [("max_steps", 2), ("max_seconds", 2), ("max_cost", 2), ("plateau", 3)]
)
def test_a_limit_ends_all_ranks_at_one_step(report: dict[str, Any], limit: str, steps: int) -> None:
    run = report[limit]

    assert run["ended"] == 0, run["said"]
    first, second = run["steps_of_ranks"]
    assert first == second == len(run["steps"])
    assert first == steps < LIMITED_EPOCHS * 3
    stopped_by = run["summary"].get("stopped_by")
    assert stopped_by == (None if limit == "max_steps" else limit)


def test_the_best_weights_are_the_result_and_survive_a_killed_rank(report: dict[str, Any]) -> None:
    run, one, broken = (report[name] for name in ("plateau", "plateau of one", "broken plateau"))

    assert broken["statuses"] == [9]
    for name in ("model", "optimizer", "random", "steps"):
        assert broken[name] == run[name], name
    assert run["summary"]["best_step"] == one["summary"]["best_step"] == 1
    best, last = weights(run), weights(report["max_steps"])
    for name, weight in weights(one).items():
        assert apart(best[name], weight) < WEIGHT_TOLERANCE, name
    moved = max(float(abs(best[name] - last[name]).max()) for name in best)
    assert moved > 5e-3, "another step would be seen"


@pytest.mark.parametrize("what", ["step", "measure"])
def test_a_rank_out_of_memory_fails_the_run_with_that_reason(
    report: dict[str, Any], what: str
) -> None:
    run = report[f"no memory for a {what}"]

    assert run["ended"] == REFUSED
    assert "OUT_OF_MEMORY: a rank has too little memory" in run["said"]


class Rank:
    def __init__(self, number: int) -> None:
        self.number = number


class Heard:
    """Ranks of which this is heard, in this order."""

    connected: list[Any] = []  # noqa: RUF012

    def __init__(self, *said: tuple[int, dict[str, Any]]) -> None:
        self._said = [(Rank(number), message) for number, message in said]

    def receive(self, _seconds: float) -> Any:
        return self._said.pop(0) if self._said else None

    def end_reason(self) -> str | None:
        return "torchrun ended with status 1"


FAILED = {"type": "failed", "code": "OUT_OF_MEMORY", "message": "no memory", "remedy": "buy some"}
PROGRESS = {"type": "progress"}


@pytest.mark.parametrize(
    "said",
    [
        [(1, FAILED), (0, DISCONNECTED)],
        [(0, DISCONNECTED), (1, FAILED)],
        [(0, DISCONNECTED), (1, PROGRESS), (1, FAILED), (1, DISCONNECTED)],
    ],
)
def test_a_ranks_failure_is_reported_though_another_ended_first(
    tmp_path: Path, said: list[tuple[int, dict[str, Any]]]
) -> None:
    with (tmp_path / "reports").open("wb") as reports:
        port = ChildPort({}, tmp_path, reports.fileno())
        with pytest.raises(ChildFailure) as failure:
            _Relay(port, Heard(*said), 2).run()  # type: ignore[arg-type]
        with pytest.raises(RanksDiedError, match="rank 0 is gone"):
            _Relay(port, Heard((0, DISCONNECTED), (1, DISCONNECTED)), 2).run()  # type: ignore[arg-type]

    assert failure.value.code == "OUT_OF_MEMORY"
