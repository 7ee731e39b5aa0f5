"""A teacher that a run loads is judged when its job is created."""

from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JobRequested
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.subjects import job_requested
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_testkit.models import make_tiny_llama


async def test_a_teacher_may_be_a_lora_adapter_whose_base_counts_towards_memory(
    trainer: Any,
) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    whole = await trainer.announce_model(
        version_id="mv-whole", form="safetensors", size_bytes=10**9, digest=base.digest
    )
    for method in ("lora", "prefix"):
        await trainer.announce_model(
            version_id=f"mv-{method}",
            form="adapter",
            method=method,
            parent_version_id=whole.version_id,
        )
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        objective=pb.TRAINING_OBJECTIVE_DISTILLATION,
        teacher_version_id="mv-lora",
    )

    job = await trainer.create(spec)

    stored = await trainer.bus.last(job_requested("train", "acme", job.job_id), JobRequested)
    assert stored.body.needs.memory_bytes > 2 * whole.size_bytes
    spec.teacher_version_id = "mv-prefix"
    with pytest.raises(InvalidInputError, match="teacher mv-prefix is of form adapter"):
        await trainer.create(spec)


async def test_a_teacher_is_checked_and_counts_towards_memory(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    teacher = await trainer.announce_model(
        version_id="mv-teacher", form="safetensors", size_bytes=10**9, digest=base.digest
    )
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|more|>")
    folder = make_tiny_llama(trainer.root / "foreign", special=special)
    foreign = trainer.store.commit(folder, kind="model", form="safetensors")
    await trainer.announce_model(version_id="mv-foreign", form="safetensors", digest=foreign.digest)
    await trainer.announce_model(version_id="mv-small", form="openvino-int8")
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        objective=pb.TRAINING_OBJECTIVE_DISTILLATION,
    )

    with pytest.raises(InvalidInputError, match="teacher_version_id is missing"):
        await trainer.create(spec)
    spec.teacher_version_id = "mv-small"
    with pytest.raises(InvalidInputError, match="teacher mv-small is of form openvino-int8"):
        await trainer.create(spec)
    spec.teacher_version_id = "mv-none"
    with pytest.raises(NotFoundError, match="no model 'mv-none'"):
        await trainer.create(spec)
    spec.teacher_version_id = "mv-foreign"
    with pytest.raises(InvalidInputError, match=r"teacher_version_id: mv-foreign.*teacher_answers"):
        await trainer.create(spec)
    spec.teacher_version_id = teacher.version_id
    job = await trainer.create(spec)
    stored = await trainer.bus.last(job_requested("train", "acme", job.job_id), JobRequested)
    assert stored.body.needs.memory_bytes > 2 * teacher.size_bytes
    spec.objective = pb.TRAINING_OBJECTIVE_ANSWERS
    with pytest.raises(InvalidInputError, match="teacher_version_id has no effect with objective"):
        await trainer.create(spec)
