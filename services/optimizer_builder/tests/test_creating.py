"""CreateBuild over real gRPC and a real broker, without a worker."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_PRIORITY_HIGH,
    JOB_STATUS_CANCELLED,
    JobRequested,
    JobState,
)
from modelmill.jobs.v1.job_service_pb2 import ControlJobRequest
from modelmill.jobs.v1.job_service_pb2_grpc import JobServiceStub
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2 as pb
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2_grpc as pb_grpc
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady, ModelRetired
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, job_requested, job_state
from modelmill_optimizer_builder.main import serve
from modelmill_optimizer_builder.settings import Settings
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.ports import free_port
from modelmill_testkit.service_process import SECRET
from modelmill_testkit.shared_nats import broker_for_service
from modelmill_testkit.waiting import eventually

from .builders import World, make_rows


@dataclass
class Service:
    stub: Any
    jobs: Any
    bus: Bus
    world: World

    async def order(
        self, *, tenant: str = "acme", key: str = "", **spec: Any
    ) -> pb.CreateBuildResponse:
        """Request an int8 build of mv-1, unless `spec` says otherwise."""
        usual = {"source_version_id": "mv-1", "target_form": "openvino-int8"}
        request = pb.CreateBuildRequest(
            tenant=tenant,
            requested_by="tester",
            idempotency_key=key,
            spec=pb.BuildSpec(**(usual | spec)),
        )
        with domain_errors():
            response: pb.CreateBuildResponse = await self.stub.CreateBuild(request, timeout=20)
        return response

    async def size(self, *, tenant: str = "acme", **spec: Any) -> pb.SizeBuildResponse:
        """What the same build would need."""
        usual = {"source_version_id": "mv-1", "target_form": "openvino-int8"}
        request = pb.SizeBuildRequest(tenant=tenant, spec=pb.BuildSpec(**(usual | spec)))
        with domain_errors():
            response: pb.SizeBuildResponse = await self.stub.SizeBuild(request, timeout=20)
        return response

    async def announce(self, version_id: str = "mv-1", **fields: Any) -> ModelReady:
        usual = {"tenant": "acme", "form": "safetensors", "digest": "sha256:" + "0" * 64}
        return await self.world.announce(ModelReady(version_id=version_id, **(usual | fields)))

    async def requests(self) -> list[JobRequested]:
        return [stored.body async for stored in self.bus.replay(["job.requested.optimize.>"])]


@pytest_asyncio.fixture
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    async with broker_for_service(request.node, tmp_path / "nats") as nats:
        settings = Settings(
            nats_url=nats.url,
            nats_token=nats.token,
            service_secret=SECRET,
            artifact_root=tmp_path / "artifacts",
            work_root=tmp_path / "work",
            grpc_address=f"127.0.0.1:{free_port()}",
            role="serve",
        )
        stopping = asyncio.Event()
        running = asyncio.create_task(serve(settings, stopping))
        try:
            async with (
                Bus.connect(nats.url, nats.token, name="test") as bus,
                open_channel(settings.grpc_address, SECRET) as channel,
            ):
                await asyncio.wait_for(channel.channel_ready(), 20)
                world = World(FolderStore(settings.artifact_disk), bus, tmp_path / "scratch")
                stub = pb_grpc.OptimizerBuilderServiceStub(channel)
                yield Service(stub, JobServiceStub(channel), bus, world)
        finally:
            stopping.set()
            await running


async def test_a_job_is_stored_with_its_spec_before_the_response(service: Service) -> None:
    await service.announce()

    accepted = await service.order(max_rows=10)

    stored = await service.bus.last(
        job_requested("optimize", "acme", accepted.job_id), JobRequested
    )
    assert stored is not None
    assert stored.sequence == accepted.sequence
    assert stored.body.requested_by == "tester"
    assert accepted.job_id.startswith("job-")
    assert MessageToDict(stored.body.spec) == {
        "source_version_id": "mv-1",
        "target_form": "openvino-int8",
        "max_accuracy_loss": 0.02,
        "max_rows": 10,
    }


async def test_a_job_has_the_given_priority_and_estimated_resources(service: Service) -> None:
    weights = 7 * 10**9
    await service.announce("mv-base", size_bytes=weights)
    await service.announce("mv-tuned", form="adapter", base_version_id="mv-base", size_bytes=5)
    for version_id in ("mv-base", "mv-tuned"):
        spec = pb.BuildSpec(source_version_id=version_id, target_form="openvino-int8")
        request = pb.CreateBuildRequest(tenant="acme", spec=spec, priority=JOB_PRIORITY_HIGH)
        await service.stub.CreateBuild(request, timeout=20)

    for stored in await service.requests():
        assert stored.priority == JOB_PRIORITY_HIGH
        assert 4 * weights < stored.needs.memory_bytes < 5 * weights


async def test_a_build_is_sized_as_it_would_be_queued_and_none_is(service: Service) -> None:
    weights = 8 * 10**9
    await service.announce("mv-1", size_bytes=weights)
    dataset = DatasetReady(dataset_id="ds-1", tenant="acme", counts={"train": 9, "test": 3})
    await service.bus.publish(DATASET_READY, dataset)

    sized = await service.size(dataset_id="ds-1")
    fewer = await service.size(dataset_id="ds-1", max_rows=1)
    search = await service.size(target_form="", objective=pb.Objective(size_mb=9_000))
    assert await service.requests() == []
    await service.order(dataset_id="ds-1")

    (queued,) = await service.requests()
    assert MessageToDict(sized.spec, preserving_proto_field_name=True) == MessageToDict(queued.spec)
    assert sized.needs == queued.needs
    assert (sized.test_rows, fewer.test_rows) == (3, 1)
    assert weights / 4 < sized.built_bytes < weights
    assert sized.worker.memory_bytes > 0
    assert (search.HasField("built_bytes"), search.test_rows) == (False, 0)
    assert search.spec.budget_seconds == 1800


async def test_what_a_build_is_refused_for_it_is_not_sized_for_either(service: Service) -> None:
    await service.announce("mv-theirs", tenant="rival")
    for spec in (
        {"source_version_id": "mv-theirs"},
        {"target_form": "gguf-q9", "max_accuracy_loss": 2.0},
        {"dataset_id": "ds-1"},
    ):
        with pytest.raises((InvalidInputError, NotFoundError)) as ordered:
            await service.order(**spec)
        with pytest.raises(type(ordered.value)) as sized:
            await service.size(**spec)
        assert sized.value.message == ordered.value.message


async def test_an_idempotency_key_gives_one_job_and_refuses_another_spec(service: Service) -> None:
    await service.announce()

    first = await service.order(key="k")

    assert await service.order(key="k") == first
    with pytest.raises(AlreadyExistsError):
        await service.order(key="k", max_rows=1)
    assert len(await service.requests()) == 1


async def test_a_version_can_be_used_as_soon_as_it_is_announced(service: Service) -> None:
    for number in range(20):
        await service.announce(f"mv-{number}")
        await service.order(source_version_id=f"mv-{number}")


async def test_unknown_versions_and_datasets_are_named(service: Service) -> None:
    await service.announce()
    await service.announce("mv-theirs", tenant="rival")
    await service.announce("mv-gone")
    await service.bus.publish("model.retired", ModelRetired(version_id="mv-gone", tenant="acme"))

    with pytest.raises(NotFoundError, match="mv-2"):
        await service.order(source_version_id="mv-2")
    with pytest.raises(NotFoundError, match="mv-theirs"):
        await service.order(source_version_id="mv-theirs")

    async def retired_is_refused() -> bool:
        try:
            await service.order(source_version_id="mv-gone")
        except NotFoundError:
            return True
        return False

    await eventually(retired_is_refused)
    with pytest.raises(NotFoundError, match=r"mv-2.*ds-1"):
        await service.order(source_version_id="mv-2", dataset_id="ds-1")
    await service.world.add_dataset("ds-1", make_rows(1))
    await service.order(dataset_id="ds-1")


async def test_every_error_of_a_spec_is_reported_at_once(service: Service) -> None:
    await service.announce(form="openvino-int8")

    with pytest.raises(InvalidInputError) as caught:
        await service.order(target_form="gguf", max_accuracy_loss=2, dataset_id="ds-none")

    said = "\n".join(caught.value.errors)
    for word in ("gguf", "max_accuracy_loss", "form 'openvino-int8'", "ds-none"):
        assert word in said
    assert await service.requests() == []


async def test_a_search_is_stored_with_all_that_it_will_do(service: Service) -> None:
    await service.announce(size_bytes=500 * 10**6)

    accepted = await service.order(target_form="", objective={"p95_ms": 200})

    [stored] = await service.requests()
    assert stored.job_id == accepted.job_id
    assert MessageToDict(stored.spec) == {
        "source_version_id": "mv-1",
        "objective": {"p95_ms": 200},
        "load": {"prompt_tokens": 128, "output_tokens": 64, "in_flight": 1},
        "budget_seconds": 1800,
        "max_accuracy_loss": 0.02,
    }


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"objective": {}}, "Give one of p95_ms"),
        ({"objective": {"size_mb": -1}}, "objective.size_mb must be above 0"),
        ({"objective": {"size_mb": 40}}, "cannot be met by any form"),
        ({"objective": {"cost_per_1k_requests": 1}}, "MACHINE_PRICE_PER_HOUR"),
        ({"objective": {"p95_ms": 9}, "max_accuracy_loss": 0.1}, "without a dataset"),
        ({"objective": {"p95_ms": 9}, "budget_seconds": 5}, "within 60 and 604800"),
        ({"objective": {"p95_ms": 9}, "load": {"in_flight": 999}}, "load.in_flight"),
        ({"objective": {"p95_ms": 9}, "target_form": "onnx-int8"}, "Give one of both"),
        ({"budget_seconds": 90, "target_form": "onnx-int8"}, "belongs to an objective"),
    ],
)
async def test_a_search_for_what_cannot_be_is_refused_with_a_remedy(
    service: Service, spec: dict[str, Any], said: str
) -> None:
    await service.announce(size_bytes=500 * 10**6)

    with pytest.raises(InvalidInputError, match=said):
        await service.order(**({"target_form": ""} | spec))

    assert await service.requests() == []


@pytest.mark.parametrize("method", ["prefix", "prompt"])
async def test_a_soft_prompt_source_is_refused_with_a_remedy(service: Service, method: str) -> None:
    await service.announce(form="adapter", job_id="ftjob-1", method=method)

    with pytest.raises(InvalidInputError, match=f"method {method}.*Serve the adapter itself"):
        await service.order()


async def test_only_trained_models_get_a_default_build(service: Service) -> None:
    await service.announce("mv-import")
    await service.announce("mv-build", form="openvino-int8", job_id="job-1")
    await service.announce("mv-full", job_id="ftjob-1", dataset_id="ds-1")
    await service.announce("mv-full", job_id="ftjob-1", dataset_id="ds-1")
    await service.announce("mv-prefix", form="adapter", job_id="ftjob-3", method="prefix")
    await service.announce("mv-adapter", form="adapter", job_id="ftjob-2", method="lora")

    async def sources() -> list[str] | None:
        ordered = [request.spec["source_version_id"] for request in await service.requests()]
        return ordered if "mv-adapter" in ordered else None

    assert await eventually(sources) == ["mv-full", "mv-adapter"]


async def test_only_its_tenant_can_cancel_a_queued_build(service: Service) -> None:
    await service.announce()
    job = await service.order()
    requested = {
        "job_id": job.job_id,
        "desired_state": JOB_DESIRED_STATE_CANCEL,
        "requested_by": "ann",
    }
    with pytest.raises(NotFoundError), domain_errors():
        await service.jobs.ControlJob(ControlJobRequest(tenant="rival", **requested), timeout=20)
    await service.jobs.ControlJob(ControlJobRequest(tenant="acme", **requested), timeout=20)

    stored = await service.bus.last(job_state(job.job_id), JobState)
    assert stored is not None
    assert stored.body.status == JOB_STATUS_CANCELLED
