"""A training of a pruned version, from the order to the verdict."""

from collections.abc import Callable
from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]


async def trained(trainer: Any, quick: dict[str, Any], **spec: Any) -> tuple[Any, dict[str, Any]]:
    """The version that a training announces, and its summary."""
    choices = quick | {"epochs": 3} | spec.pop("choices", {})
    job = await trainer.create(
        pb.TrainSpec(
            dataset_id="ds-toy",
            evaluate=True,
            hyper_parameters=pb.HyperParameters(**choices),
            **spec,
        )
    )
    state = await trainer.ended(job.job_id)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    [ready] = await eventually(lambda: trainer.announced(job.job_id))
    return ready, dict(state.result.summary.items())


async def test_a_pruned_version_is_judged_beside_the_model_that_it_was_cut_from_alone(
    working_trainer: Any, toy_rows: Rows, quick: dict[str, Any]
) -> None:
    trainer = working_trainer
    base = await trainer.import_base()
    await trainer.add_dataset(train=toy_rows(96), test=toy_rows(30, first=96))
    whole, _ = await trained(trainer, quick, base_version_id=base.version_id)
    pruned = await trainer.announce_model(
        version_id="mv-pruned",
        form="safetensors",
        method="pruned",
        digest=base.digest,
        size_bytes=base.size_bytes,
        parent_version_id=whole.version_id,
        base_version_id=base.version_id,
    )
    distilled = {
        "base_version_id": pruned.version_id,
        "method": pb.TRAINING_METHOD_FULL,
        "objective": pb.TRAINING_OBJECTIVE_DISTILLATION,
        "choices": {"lora_rank": 0, "learning_rate": 0.003, "teacher_texts": 8},
    }

    ready, summary = await trained(trainer, quick, teacher_version_id=whole.version_id, **distilled)
    _, beside_another = await trained(
        trainer, quick, teacher_version_id=base.version_id, **distilled
    )

    made_from = trainer.store.manifest(ready.digest).made_from
    assert (made_from["teacher"], made_from["teacher_base"]) == (whole.digest, base.digest)
    assert summary["teacher_texts"] == 8
    assert summary["accuracy_teacher"]["mean"] == 1.0
    assert summary["recovery"]["verdict"] == "recovered"
    assert summary["recovery"]["left"] == summary["differences"]["tuned-teacher"]
    assert "left" not in beside_another["recovery"]
    assert beside_another["recovery"]["verdict"] != "recovered"
