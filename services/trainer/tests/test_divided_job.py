"""A divided job from the request to the announced model, with torchrun and its real ranks."""

from collections.abc import Callable
from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED, JobRequested
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.subjects import job_requested
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.waiting import eventually

Rows = Callable[..., list[dict[str, Any]]]


def divided_spec(base_version_id: str, **division: Any) -> pb.TrainSpec:
    return pb.TrainSpec(
        base_version_id=base_version_id,
        dataset_id="ds-toy",
        distribution=pb.Distribution(**division),
        hyper_parameters=pb.HyperParameters(
            learning_rate=0.01, epochs=1, batch_size=4, gradient_accumulation_steps=1
        ),
    )


@pytest.mark.heavy
@pytest.mark.timeout(240)
async def test_a_job_on_two_ranks_makes_the_model_of_a_single_process(
    working_trainer: Any, toy_rows: Rows
) -> None:
    trainer = working_trainer
    base = await trainer.import_base()
    await trainer.add_dataset(train=toy_rows(7))

    job = await trainer.create(divided_spec(base.version_id, ranks=2))

    async def saved() -> Any:
        state = await trainer.state(job.job_id)
        return state if state.checkpoint.digest else None

    state = await eventually(saved, within=200)
    kept = JobCheckpoints(trainer.store, job.job_id, state.fence)
    files = [entry.path for entry in kept.manifest(state.checkpoint.digest).files]
    assert {path.partition("/")[0] for path in files} == {"rank-0", "rank-1"}

    async def ended() -> Any:
        state = await trainer.state(job.job_id)
        return state if state.status in (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED) else None

    state = await eventually(ended, within=200)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    assert (state.attempt, state.result.summary["steps"]) == (1, 2)
    [ready] = await eventually(lambda: trainer.announced(job.job_id))
    assert ready.form == "adapter"
    manifest = trainer.store.manifest(ready.digest)
    assert manifest.attributes["distribution"]["zero_stage"] == 3
    names = {path.name for path in trainer.store.materialise(ready.digest).iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "metrics.jsonl"} <= names


async def test_a_distribution_is_filled_in_and_needs_a_core_per_rank(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()

    job = await trainer.create(divided_spec(base.version_id, ranks=4, preset="guide-zero3"))

    stored = await trainer.bus.last(job_requested("train", "acme", job.job_id), JobRequested)
    assert stored.body.needs.cpus == 4
    assert dict(stored.body.spec["distribution"]) == {
        "ranks": 4,
        "zero_stage": 3,
        "offload_optimizer": True,
        "offload_parameters": True,
        "precision": "TRAINING_PRECISION_BF16",
        "preset": "guide-zero3",
    }


async def test_an_invalid_distribution_is_reported_with_all_other_errors(trainer: Any) -> None:
    await trainer.add_dataset()

    with pytest.raises(InvalidInputError) as refused:
        await trainer.create(divided_spec("mv-none", ranks=8, zero_stage=1))

    said = "; ".join(refused.value.errors)
    assert "ranks (8) is more than the 4 rows of a step" in said
    assert "mv-none" in said
