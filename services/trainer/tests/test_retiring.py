"""Models are taken out of use with their builds, unless somebody needs them."""

from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL, JOB_STATUS_FAILED
from modelmill.jobs.v1.job_service_pb2 import ControlJobRequest
from modelmill.registry.v1.model_events_pb2 import (
    AliasState,
    DatasetRetired,
    ModelRetired,
)
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.subjects import DATASET_RETIRED, MODEL_RETIRED, alias_state
from modelmill_service_kit.errors import NotFoundError, PreconditionError, UnavailableError
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.waiting import eventually, once_available


async def retire(trainer: Any, version_id: str, tenant: str = "acme") -> pb.RetireModelResponse:
    request = pb.RetireModelRequest(tenant=tenant, version_id=version_id, requested_by="ann")
    with domain_errors():
        response: pb.RetireModelResponse = await trainer.stub.RetireModel(request, timeout=60)
    return response


async def announce_family(trainer: Any) -> None:
    """A base with a build and a build of that; an adapter with a build; a fully tuned model."""

    async def made(version_id: str, form: str, parent: str) -> None:
        await trainer.announce_model(
            version_id=version_id, form=form, parent_version_id=parent, base_version_id="mv-base"
        )

    await made("mv-base", "safetensors", "")
    await made("mv-base-i8", "openvino-int8", "mv-base")
    await made("mv-base-i8-small", "openvino-int8", "mv-base-i8")
    await made("mv-full", "safetensors", "mv-base")
    await made("mv-adapter", "adapter", "mv-base")
    await made("mv-adapter-i8", "openvino-int8", "mv-adapter")


async def retired_ids(trainer: Any) -> list[str]:
    return [each.body.version_id async for each in trainer.bus.replay([MODEL_RETIRED])]


async def is_refused(site: Any, spec: pb.TrainSpec, *retired: str) -> bool:
    """Whether a job is refused, because all of these were retired."""
    try:
        await site.create(spec)
    except NotFoundError as error:
        return all(f"'{each}' was retired" in str(error) for each in retired)
    return False


async def point(trainer: Any, tenant: str, name: str, version_id: str) -> None:
    alias = AliasState(tenant=tenant, name=name, version_id=version_id)
    await trainer.bus.publish(alias_state(tenant, name), alias)


async def test_a_version_is_retired_with_its_builds_unless_an_alias_or_adapter_needs_it(
    trainer: Any,
) -> None:
    await announce_family(trainer)
    await point(trainer, "acme", "prod", "mv-adapter-i8")
    with pytest.raises(PreconditionError, match=r"adapter mv-adapter \(other\) needs mv-base"):
        await retire(trainer, "mv-base")
    with pytest.raises(PreconditionError, match="alias 'prod' names mv-adapter-i8"):
        await retire(trainer, "mv-adapter")
    assert await retired_ids(trainer) == []

    await point(trainer, "acme", "prod", "mv-full")
    assert (await retire(trainer, "mv-adapter")).version_ids == ["mv-adapter", "mv-adapter-i8"]
    response = await retire(trainer, "mv-base")
    assert response.version_ids == ["mv-base", "mv-base-i8", "mv-base-i8-small"]
    assert response.sequence == await trainer.bus.last_sequence("MODELS")
    assert await retired_ids(trainer) == [
        *("mv-adapter-i8", "mv-adapter"),
        *("mv-base-i8-small", "mv-base-i8", "mv-base"),
    ]
    last = await trainer.bus.last(MODEL_RETIRED, ModelRetired)
    assert last.msg_id == "mv-base-retired"
    assert "ann" in last.body.reason
    with pytest.raises(NotFoundError, match="'mv-base' was retired"):
        await retire(trainer, "mv-base")
    with pytest.raises(PreconditionError, match="alias 'prod'"):
        await retire(trainer, "mv-full")


async def test_only_the_owner_retires_a_version_and_other_tenants_are_not_named(
    trainer: Any,
) -> None:
    await trainer.announce_model(version_id="mv-shared", form="safetensors", tenant="shared")
    await trainer.announce_model(version_id="mv-rival", form="safetensors", tenant="rival")
    for version_id in ("mv-shared", "mv-rival", "mv-none"):
        with pytest.raises(NotFoundError):
            await retire(trainer, version_id)

    await point(trainer, "rival", "secret", "mv-shared")
    with pytest.raises(PreconditionError, match="an alias of another tenant names mv-shared"):
        await retire(trainer, "mv-shared", tenant="shared")
    await point(trainer, "rival", "secret", "")
    await trainer.announce_model(
        version_id="mv-secret", form="adapter", tenant="rival", parent_version_id="mv-shared"
    )
    with pytest.raises(PreconditionError, match="an adapter of another tenant needs mv-shared"):
        await retire(trainer, "mv-shared", tenant="shared")
    assert await retired_ids(trainer) == []


async def test_a_variant_of_an_alias_counts_as_use(trainer: Any) -> None:
    for version_id in ("mv-first", "mv-second"):
        await trainer.announce_model(version_id=version_id, form="safetensors")
    alias = AliasState(tenant="acme", name="split", version_id="mv-first")
    variants = [{"name": "b", "version_id": "mv-second", "weight": 1}]
    alias.options.update({"kind": "split", "variants": variants})
    await trainer.bus.publish(alias_state("acme", "split"), alias)

    with pytest.raises(PreconditionError, match="alias 'split' names mv-second"):
        await retire(trainer, "mv-second")


@pytest.mark.own_broker
async def test_without_the_broker_nothing_is_retired(trainer: Any) -> None:
    await trainer.announce_model(version_id="mv-1", form="safetensors")
    trainer.nats.kill()
    with pytest.raises(UnavailableError):
        await retire(trainer, "mv-1")
    await trainer.nats.start()
    retired = await once_available(lambda: retire(trainer, "mv-1"))
    assert retired.version_ids == ["mv-1"]


async def test_a_model_of_a_waiting_job_is_not_retired_and_the_job_is_named(
    site: Any,
) -> None:
    async with site.serving(role="serve"):
        base = await site.import_base()
        await site.add_dataset()
        spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")
        job = await site.create(spec)
        with pytest.raises(PreconditionError, match=rf"in use by job {job.job_id} \(train, queued"):
            await retire(site, base.version_id)
        request = ControlJobRequest(
            tenant="acme",
            job_id=job.job_id,
            desired_state=JOB_DESIRED_STATE_CANCEL,
            requested_by="ann",
        )
        await site.jobs.ControlJob(request, timeout=60)
        assert (await retire(site, base.version_id)).version_ids == [base.version_id]


async def test_jobs_on_retired_inputs_are_refused_and_accepted_ones_say_what_is_gone(
    site: Any,
) -> None:
    async with site.serving(role="serve"):
        base, doomed = [await site.import_base(name=name) for name in ("tiny", "doomed")]
        for dataset_id in ("ds-toy", "ds-kept"):
            await site.add_dataset(dataset_id=dataset_id)
        spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")
        on_dataset = await site.create(spec)
        on_base = await site.create(
            pb.TrainSpec(base_version_id=doomed.version_id, dataset_id="ds-kept")
        )
        cancelled = await site.create(spec)
        # As by a deletion that had looked at the jobs a moment before these were accepted.
        for subject, retired in (
            (DATASET_RETIRED, DatasetRetired(dataset_id="ds-toy", tenant="acme")),
            (MODEL_RETIRED, ModelRetired(version_id=doomed.version_id, tenant="acme")),
        ):
            await site.bus.publish(subject, retired)
        spec.base_version_id = doomed.version_id

        # The two are in two streams, and each is read a moment after it was published.
        await eventually(lambda: is_refused(site, spec, doomed.version_id, "ds-toy"))
        request = ControlJobRequest(tenant="acme", job_id=cancelled.job_id, requested_by="ann")
        request.desired_state = JOB_DESIRED_STATE_CANCEL
        await site.jobs.ControlJob(request, timeout=60)
    async with site.serving(role="work"):
        ends = [await site.ended(job.job_id) for job in (on_dataset, on_base)]

    assert [(state.status, state.error.code) for state in ends] == [
        (JOB_STATUS_FAILED, "DATASET_GONE"),
        (JOB_STATUS_FAILED, "BASE_GONE"),
    ]
    assert (await site.state(cancelled.job_id)).attempt == 0
