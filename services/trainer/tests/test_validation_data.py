"""A dataset of its own to validate on: what takes the place of the valid split."""

from collections.abc import Callable
from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_registry.manifest import walk
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_testkit.waiting import eventually

Rows = Callable[..., list[dict[str, Any]]]


def wrong(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose answers nobody could learn from the others."""
    for row in rows:
        row["messages"][-1]["content"] = "zqx"
    return rows


async def test_the_validation_dataset_must_exist_and_differ(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")
    spec.validation_dataset_id = "ds-none"
    with pytest.raises(NotFoundError, match="ds-none"):
        await trainer.create(spec)

    spec.validation_dataset_id = "ds-toy"
    with pytest.raises(InvalidInputError, match="Leave it out"):
        await trainer.create(spec)


async def test_metadata_has_bounds(trainer: Any) -> None:
    base = await trainer.import_base()
    await trainer.add_dataset()
    spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")
    spec.metadata.update({str(number): "v" for number in range(15)})
    spec.metadata.update({"k" * 64: "v" * 512})
    await trainer.create(spec)

    spec.metadata.update({"k" * 65: "v" * 513})
    with pytest.raises(InvalidInputError) as refused:
        await trainer.create(spec)

    assert len(refused.value.errors) == 3


@pytest.mark.heavy
async def test_validation_loss_is_that_of_the_validation_dataset(
    working_trainer: Any, toy_rows: Rows, quick: dict[str, Any]
) -> None:
    trainer = working_trainer
    base = await trainer.import_base()
    await trainer.add_dataset(train=toy_rows(48), valid=wrong(toy_rows(6, first=48)))
    apart = await trainer.add_dataset(
        dataset_id="ds-apart", train=toy_rows(3, first=60), test=toy_rows(3, first=63)
    )
    spec = pb.TrainSpec(
        base_version_id=base.version_id,
        dataset_id="ds-toy",
        hyper_parameters=pb.HyperParameters(**quick | {"epochs": 4}),
        validation_dataset_id="ds-apart",
    )
    job = await trainer.create(spec)
    state = await trainer.ended(job.job_id)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    asked = pb.ListStepFiguresRequest(tenant="acme", job_id=job.job_id)
    steps = (await trainer.stub.ListStepFigures(asked, timeout=60)).steps

    # What was learned helps there, and not with the answers of the valid split.
    summary = state.result.summary
    assert summary["valid_loss"] < summary["first_valid_loss"] / 4
    measured = sum("valid_loss" in each.metrics for each in steps)
    assert measured >= 10  # with no limits: every tenth of the run
    [ready] = await eventually(lambda: trainer.announced(job.job_id))
    edges = {(edge.role, edge.source) for edge in walk(trainer.store, ready.digest)}
    assert ("validation", apart.digest) in edges
