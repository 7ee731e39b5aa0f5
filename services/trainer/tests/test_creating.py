"""Jobs are accepted whole or refused with everything that is wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_LOW, JobRequested
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.subjects import DATASET_READY, job_requested
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import AlreadyExistsError, InvalidInputError, NotFoundError


async def test_a_job_is_accepted_once_with_preset_values_filled_in(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        name="mine",
        hyper_parameters=pb.HyperParameters(preset="guide"),
    )

    first = await trainer.create(spec, key="k")
    again = await trainer.create(spec, key="k")

    assert again == first
    assert first.job_id.startswith("ftjob-")
    stored = await trainer.bus.last(job_requested("train", "acme", first.job_id), JobRequested)
    assert stored.body.spec["method"] == "TRAINING_METHOD_LORA"
    assert dict(stored.body.spec["hyper_parameters"]) == {
        "learning_rate": 3e-5,
        "epochs": 1,
        "batch_size": 32,
        "gradient_accumulation_steps": 1,
        "warmup_ratio": 0.1,
        "lora_rank": 16,
        "lora_alpha": 32,
        "max_grad_norm": 1,
        "seed": "1",
        "learning_rate_multiplier": 1,
        "preset": "guide",
    }


async def test_preset_guide_gives_a_full_run_its_own_rate_and_no_lora_fields(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    job = await trainer.create(
        pb.TrainSpec(
            base_version_id=base.version_id,
            dataset_id="ds-toy",
            method=pb.TRAINING_METHOD_FULL,
            hyper_parameters=pb.HyperParameters(preset="guide"),
        )
    )

    stored = await trainer.bus.last(job_requested("train", "acme", job.job_id), JobRequested)
    choices = dict(stored.body.spec["hyper_parameters"])
    assert choices["learning_rate"] == 1e-5
    assert not [name for name in choices if name.startswith("lora")]


async def test_full_fine_tuning_needs_more_memory_than_lora(
    trainer: Any,
) -> None:
    base = await trainer.announce_model(
        version_id="mv-large", form="safetensors", size_bytes=14 * 10**9
    )
    await trainer.add_dataset()
    needs = {}
    for method in (pb.TRAINING_METHOD_LORA, pb.TRAINING_METHOD_FULL):
        spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy", method=method)
        request = pb.CreateFineTuningJobRequest(tenant="acme", spec=spec, priority=JOB_PRIORITY_LOW)
        job = await trainer.stub.CreateFineTuningJob(request, timeout=60)
        stored = await trainer.bus.last(job_requested("train", "acme", job.job_id), JobRequested)
        assert stored.body.priority == JOB_PRIORITY_LOW
        needs[method] = stored.body.needs.memory_bytes

    assert needs[pb.TRAINING_METHOD_LORA] > 2 * base.size_bytes
    assert needs[pb.TRAINING_METHOD_FULL] > 8 * base.size_bytes


async def test_every_wrong_choice_is_listed_at_once(trainer: Any) -> None:
    base = await trainer.import_base()
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-none",
        method=99,
        hyper_parameters=pb.HyperParameters(
            learning_rate=-1,
            epochs=101,
            batch_size=10,
            gradient_accumulation_steps=4,
            warmup_ratio=1,
            max_tokens_per_row=513,
            lora_rank=257,
            lora_dropout=float("nan"),
        ),
        limits=pb.TrainingLimits(max_seconds=float("nan"), max_cost=5, min_improvement=0.1),
    )

    with pytest.raises(InvalidInputError) as refused:
        await trainer.create(spec)

    assert refused.value.errors == [
        "limits.max_seconds must be a number from 0, got nan",
        "limits.max_cost needs a price, and the operator has set none. Use limits.max_seconds",
        "limits.min_improvement has no meaning without limits.patience",
        "method 99 is not known. Use LORA, FULL, PREFIX, PROMPT, AUTO or QLORA",
        "learning_rate must be above 0 and at most 1, got -1",
        "epochs must be above 0 and at most 100, got 101",
        "warmup_ratio must be at least 0 and below 1, got 1",
        "lora_rank must be at least 1 and at most 256, got 257",
        "lora_dropout must be at least 0 and below 1, got nan",
        "batch_size (10) must be divisible by gradient_accumulation_steps (4)",
        "max_tokens_per_row (513) is more than the base model's context of 512 tokens",
        "no dataset 'ds-none'. GET /v1/datasets lists what there is",
    ]


async def test_lora_fields_are_refused_for_full_fine_tuning(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        method=pb.TRAINING_METHOD_FULL,
        hyper_parameters=pb.HyperParameters(lora_rank=8),
    )

    with pytest.raises(InvalidInputError, match="lora_rank has no meaning for method full"):
        await trainer.create(spec)


async def test_unknown_ids_give_not_found_with_the_id(trainer: Any) -> None:
    spec = pb.TrainSpec(base_version_id="mv-none", dataset_id="ds-none")

    with pytest.raises(NotFoundError, match=r"no model 'mv-none'\..*; no dataset 'ds-none'\."):
        await trainer.create(spec)


async def test_models_and_datasets_of_other_tenants_are_not_found(trainer: Any) -> None:
    base = await trainer.import_base(tenant="acme")
    await trainer.add_dataset()
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")

    with pytest.raises(NotFoundError, match=r"no model .*; no dataset 'ds-toy'"):
        await trainer.create(spec, tenant="globex")


async def test_a_base_of_another_form_than_safetensors_is_refused(trainer: Any) -> None:
    await trainer.announce_model(version_id="mv-small", form="openvino-int8")
    await trainer.add_dataset()

    with pytest.raises(InvalidInputError, match="mv-small is of form openvino-int8"):
        await trainer.create(pb.TrainSpec(base_version_id="mv-small", dataset_id="ds-toy"))


async def test_missing_ids_are_reported(trainer: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await trainer.create(pb.TrainSpec(name="n" * 65))

    assert refused.value.errors[:3] == [
        "base_version_id is missing",
        "dataset_id is missing",
        "name has more than 64 characters",
    ]


async def test_a_dataset_job_may_still_be_running(
    trainer: Any, dataset_of_job: Callable[[str], str]
) -> None:
    base = await trainer.import_base()
    making = await JobQueue(trainer.bus).submit(
        kind="dataset",
        prefix="job",
        tenant="acme",
        requested_by="tester",
        idempotency_key="",
        spec=DatasetSpec(),
    )

    job = await trainer.create(
        pb.TrainSpec(base_version_id=base.version_id, dataset_job_id=making.job_id)
    )

    stored = await trainer.bus.last(job_requested("train", "acme", job.job_id), JobRequested)
    assert stored.body.spec["dataset_id"] == dataset_of_job(making.job_id)


async def test_a_dataset_job_must_exist_and_make_the_named_dataset(
    trainer: Any,
) -> None:
    base = await trainer.import_base()
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_job_id="job-1")

    with pytest.raises(NotFoundError, match="no dataset job 'job-1'"):
        await trainer.create(spec)
    spec.dataset_id = "ds-other"
    with pytest.raises(InvalidInputError, match="'ds-other' is not made by job 'job-1'"):
        await trainer.create(spec)


async def test_a_key_used_for_another_job_is_refused(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")
    await trainer.create(spec, key="k")
    spec.hyper_parameters.epochs = 2

    with pytest.raises(AlreadyExistsError):
        await trainer.create(spec, key="k")


async def written(trainer: Any, job_id: str) -> pb.TrainSpec:
    """The spec that a worker will read."""
    stored = await trainer.bus.last(job_requested("train", "acme", job_id), JobRequested)
    return ParseDict(MessageToDict(stored.body.spec), pb.TrainSpec())


async def test_method_auto_is_resolved_by_rows_with_a_reason(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    many = DatasetReady(dataset_id="ds-many", tenant="acme", counts={"train": 200_000})
    few = DatasetReady(dataset_id="ds-few", tenant="acme", counts={"train": 20})
    for ready in (many, few):
        await trainer.bus.publish(DATASET_READY, ready, msg_id=ready.dataset_id)
    specs = {}
    for dataset_id in ("ds-many", "ds-few"):
        spec = pb.TrainSpec(
            base_version_id=base.version_id, dataset_id=dataset_id, method=pb.TRAINING_METHOD_AUTO
        )
        specs[dataset_id] = await written(trainer, (await trainer.create(spec)).job_id)

    assert specs["ds-many"].method == pb.TRAINING_METHOD_FULL
    assert specs["ds-many"].method_reason.startswith("full, because 200000 rows are at least")
    assert not specs["ds-many"].hyper_parameters.lora_rank
    assert specs["ds-few"].method == pb.TRAINING_METHOD_LORA
    assert "20 rows are fewer than" in specs["ds-few"].method_reason
    assert specs["ds-few"].hyper_parameters.lora_rank == 16


async def test_defaults_of_method_and_objective_are_filled_in(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        method=pb.TRAINING_METHOD_PREFIX,
        objective=pb.TRAINING_OBJECTIVE_DPO,
    )

    full = await written(trainer, (await trainer.create(spec)).job_id)

    assert (full.method, full.objective) == (spec.method, spec.objective)
    assert full.hyper_parameters.virtual_tokens == 20
    assert full.hyper_parameters.preference_beta == 0.1
    assert not full.hyper_parameters.learning_rate
    assert not full.hyper_parameters.lora_rank
    assert not full.hyper_parameters.distillation_temperature
