"""Jobs that leave epochs, batch size and rate to the trainer, and jobs that learn nothing."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobState
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_trainer.domain.auto_choices import AutoChoices
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.auto_choices import auto_choices_of
from modelmill_trainer.training.checkpoint import STATE, TrainingProgress
from modelmill_trainer.training.distributed.ranks import SingleRank
from modelmill_trainer.training.packs import TrainingExample
from trainer_support.loops import Port

Rows = Callable[..., list[dict[str, Any]]]


async def run_job(trainer: Any, toy_rows: Rows, **choices: Any) -> JobState:
    base = await trainer.import_base()
    await trainer.add_dataset(
        train=toy_rows(96), valid=toy_rows(6, first=96), test=toy_rows(15, first=102)
    )
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        evaluate=True,
        hyper_parameters=pb.HyperParameters(**choices),
    )
    state: JobState = await trainer.ended((await trainer.create(spec)).job_id)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    return state


def card_of(trainer: Any, state: JobState) -> str:
    return str((trainer.store.materialise(state.result.digest) / "README.md").read_text())


@pytest.mark.heavy
async def test_a_job_without_hyper_parameters_reports_automatic_values_and_reasons(
    working_trainer: Any, toy_rows: Rows
) -> None:
    state = await run_job(working_trainer, toy_rows)

    summary = state.result.summary
    assert dict(summary["chosen"]) == {"batch_size": 4, "epochs": 5, "learning_rate": 0.0074}
    assert (summary["rows"], summary["steps"]) == (96, 120)
    assert [reason.split(",")[0] for reason in summary["choice_reasons"]] == [
        *("batch_size 4", "epochs 5", "learning_rate 0.0074"),
    ]
    assert summary["learned"] is True
    assert summary["valid_loss"] < summary["first_valid_loss"]
    made = working_trainer.store.manifest(state.result.digest).attributes["hyper_parameters"]
    assert (made["batch_size"], made["epochs"], made["learning_rate"]) == (4, 5, 0.0074)
    assert "did not learn" not in card_of(working_trainer, state)


@pytest.mark.heavy
async def test_a_run_without_improvement_says_so_in_result_and_card(
    working_trainer: Any, toy_rows: Rows
) -> None:
    state = await run_job(working_trainer, toy_rows, learning_rate=1e-12, epochs=1)

    summary = state.result.summary
    assert summary["learned"] is False
    assert summary["advice"].startswith("It did not learn: ")
    assert "the score is not above the base's: +0.0 points" in summary["advice"]
    assert "**It did not learn: " in card_of(working_trainer, state)


def test_a_resumed_run_keeps_its_automatic_values(tmp_path: Path, tiny_base: Path) -> None:
    examples = [TrainingExample.answered(range(1, 9), 4)] * 96
    request = TrainRequest(
        base_folder=tiny_base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=tmp_path,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=decide("lora", {}),
        threads=1,
    )
    splits = {"train": examples, "valid": []}
    port = Port(tmp_path)
    fresh = auto_choices_of(request, splits, port, SingleRank())
    assert set(fresh.chosen) == {"learning_rate", "epochs", "batch_size"}
    # As a release with another rule would have decided.
    earlier = AutoChoices({"learning_rate": 1e-4, "epochs": 1.0, "batch_size": 32}, ("because",))
    progress = TrainingProgress(step=2, decision=earlier.as_json())
    (tmp_path / STATE).write_text(json.dumps({"progress": asdict(progress)}))

    resumed = auto_choices_of(
        replace(request, checkpoint_folder=tmp_path), splits, port, SingleRank()
    )

    assert resumed == earlier
