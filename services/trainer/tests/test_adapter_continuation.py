"""A run that goes on from an adapter: what it takes over, where it begins, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobRequested
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.subjects import job_requested
from modelmill_jobs.child import ChildFailure
from modelmill_registry.manifest import walk
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_testkit.waiting import eventually
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.model import TrainedModel
from trainer_support.runs import stir

Rows = Callable[..., list[dict[str, Any]]]
SHAPE = {"lora_rank": 4, "lora_alpha": 12.0, "target_modules": ["q_proj", "v_proj"]}


async def add_adapter(trainer: Any, base: Any, **changes: Any) -> Any:
    """An adapter's manifest and announcement, without weights."""
    choices = {"method": "lora", "target_parameters": [], **SHAPE} | changes
    folder = trainer.root / f"adapter-{len(list(trainer.root.iterdir()))}"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    manifest = trainer.store.commit(
        folder, kind="model", form="adapter", attributes={"hyper_parameters": choices}
    )
    return await trainer.announce_model(
        version_id=f"mv-{manifest.digest[-8:]}",
        form="adapter",
        digest=manifest.digest,
        parent_version_id=base.version_id,
        base_version_id=base.version_id,
    )


def spec_of(base: Any, adapter: Any, **fields: Any) -> pb.TrainSpec:
    return pb.TrainSpec(
        base_version_id=base.version_id,
        adapter_version_id=adapter.version_id,
        dataset_id="ds-toy",
        **fields,
    )


async def test_a_continued_run_inherits_rank_alpha_and_layers(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    adapter = await add_adapter(trainer, base)

    job = await trainer.create(spec_of(base, adapter, method=pb.TRAINING_METHOD_AUTO))

    stored = await trainer.bus.last(job_requested("train", "acme", job.job_id), JobRequested)
    spec = stored.body.spec
    assert spec["adapter_version_id"] == adapter.version_id
    assert spec["method"] == "TRAINING_METHOD_LORA"
    assert {name: spec["hyper_parameters"][name] for name in ("lora_rank", "lora_alpha")} == {
        "lora_rank": 4,
        "lora_alpha": 12,
    }
    assert list(spec["hyper_parameters"]["target_modules"]) == ["q_proj", "v_proj"]


async def test_every_conflict_with_the_adapter_is_reported_with_a_remedy(
    trainer: Any,
) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    adapter = await add_adapter(trainer, base)
    other = pb.HyperParameters(lora_rank=8, lora_alpha=16, target_modules=["q_proj"])

    with pytest.raises(InvalidInputError) as shape:
        await trainer.create(spec_of(base, adapter, hyper_parameters=other))
    with pytest.raises(InvalidInputError) as way:
        await trainer.create(
            spec_of(
                base,
                adapter,
                method=pb.TRAINING_METHOD_FULL,
                objective=pb.TRAINING_OBJECTIVE_KTO,
            )
        )

    its = "the adapter to continue from has"
    assert shape.value.errors == [
        f"lora_rank: {its} 4. Leave it out",
        f"lora_alpha: {its} 12.0. Leave it out",
        f"target_modules: {its} ['q_proj', 'v_proj']. Leave it out",
    ]
    assert [each.partition(":")[0] for each in way.value.errors[:2]] == ["method", "objective"]
    assert base.version_id in way.value.errors[0]


async def test_only_a_lora_adapter_of_the_same_base_can_be_continued(trainer: Any) -> None:
    base = await trainer.import_base()
    stranger = await trainer.announce_model(version_id="mv-stranger", form="safetensors")
    await trainer.add_dataset()
    adapter = await add_adapter(trainer, base)
    prefix = await add_adapter(trainer, base, method="prefix")

    async def refusal(base: Any, adapter: Any) -> str:
        with pytest.raises(InvalidInputError) as refused:
            await trainer.create(spec_of(base, adapter))
        return refused.value.message

    assert "Name that one" in await refusal(stranger, adapter)
    assert f"Start from its base {base.version_id}" in await refusal(base, prefix)
    assert "is of form safetensors" in await refusal(base, base)
    adapter.version_id = "mv-gone"
    with pytest.raises(NotFoundError, match="mv-gone"):
        await trainer.create(spec_of(base, adapter))


def test_initial_weights_equal_those_of_the_adapter(tiny_base: Path, tmp_path: Path) -> None:
    def choices(rank: int) -> Any:
        return decide("lora", {"lora_rank": rank, "seed": rank})

    earlier = TrainedModel.load(tiny_base, choices(4), "mv-base")
    stir(earlier)
    earlier.save(tmp_path)

    later = TrainedModel.load(tiny_base, choices(4), "mv-base", tmp_path)

    assert all(torch.equal(later.trainable[n], it) for n, it in earlier.trainable.items())
    with pytest.raises(ChildFailure, match="FOREIGN_ADAPTER"):
        TrainedModel.load(tiny_base, choices(8), "mv-base", tmp_path)


@pytest.mark.heavy
async def test_a_second_job_continues_from_the_adapter_of_the_first(
    working_trainer: Any, toy_rows: Rows, quick: dict[str, Any]
) -> None:
    trainer = working_trainer
    base = await trainer.import_base()
    await trainer.add_dataset(train=toy_rows(96))
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy", name="kinds")
    spec.hyper_parameters.CopyFrom(pb.HyperParameters(**quick | {"epochs": 2}))

    first = await trainer.create(spec)
    ended = await trainer.ended(first.job_id)
    assert ended.status == JOB_STATUS_SUCCEEDED, ended.error
    [adapter] = await eventually(lambda: trainer.announced(first.job_id))
    spec.adapter_version_id = adapter.version_id
    spec.hyper_parameters.ClearField("lora_rank")
    second = await trainer.create(spec)
    again = await trainer.ended(second.job_id)

    assert again.status == JOB_STATUS_SUCCEEDED, again.error
    assert again.result.summary["first_loss"] < ended.result.summary["first_loss"] / 4
    [ready] = await eventually(lambda: trainer.announced(second.job_id))
    assert ready.parent_version_id == ready.base_version_id == base.version_id
    sources = {(edge.role, edge.source) for edge in walk(trainer.store, ready.digest)}
    assert {("adapter", adapter.digest), ("base", base.digest)} <= sources
    card = (trainer.store.materialise(ready.digest) / "README.md").read_text()
    assert f'base_model: "{base.name}"' in card
