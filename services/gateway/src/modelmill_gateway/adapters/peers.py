"""The services that the gateway calls, one long-lived channel each, and who owns which jobs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic

import grpc
from grpc.aio import Channel
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelmill.data_prep.v1.data_prep_service_pb2 import CreateDatasetRequest, DatasetSpec
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import DataPrepServiceStub
from modelmill.jobs.v1.job_pb2 import JobDesiredState, JobPriority
from modelmill.jobs.v1.job_service_pb2 import ControlJobRequest
from modelmill.jobs.v1.job_service_pb2_grpc import JobServiceStub
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import (
    BuildSpec,
    CreateBuildRequest,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2_grpc import (
    OptimizerBuilderServiceStub,
)
from modelmill.trainer.v1.evaluation_pb2 import CreateEvaluationJobRequest, EvaluationSpec
from modelmill.trainer.v1.trainer_service_pb2 import CreateFineTuningJobRequest, TrainSpec
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceStub
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import kinds_of
from modelmill_bus.subjects import OWNERS_OF_JOBS
from modelmill_jobs.control import ControlJob
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_service_kit.grpc_server import VERSION_METADATA

from modelmill_gateway.adapters import data_prep as data_prep_adapter
from modelmill_gateway.adapters import optimizer_builder as builder_adapter
from modelmill_gateway.adapters import trainer as trainer_adapter
from modelmill_gateway.adapters.capacity import GrpcReplica, GrpcWorkers
from modelmill_gateway.adapters.data_prep import GrpcDataPrep
from modelmill_gateway.adapters.fleet import Fleet
from modelmill_gateway.adapters.inference import GrpcEngines
from modelmill_gateway.adapters.moderation import GrpcModeration, GrpcPolicies
from modelmill_gateway.adapters.optimizer_builder import GrpcOptimizerBuilder
from modelmill_gateway.adapters.trainer import GrpcTrainer
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.metrics import INFERENCE_LEFT_ALONE
from modelmill_gateway.ports import AcceptedJob, ServiceStatus, SpecT_contra
from modelmill_gateway.settings import Settings

CALL_SECONDS = 30.0


class GrpcOrders(Generic[SpecT_contra]):
    """Job creation by an RPC of the service that owns the kind.

    Args:
        rpc: the stub's method; its response has a job's id and sequence.
        request: its message.
    """

    def __init__(self, rpc: Any, request: type[Any], peer: str) -> None:
        self._rpc = rpc
        self._request = request
        self._peer = peer

    async def create(
        self,
        spec: SpecT_contra,
        caller: Caller,
        *,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> AcceptedJob:
        """Order one.

        Raises:
            NotFoundError: what the spec names is unknown.
            InvalidInputError: the spec is wrong; every error is listed.
            PreconditionError: the peer cannot do such jobs now.
            AlreadyExistsError: the key was used for another spec.
            UnavailableError: the bus does not answer; nothing was accepted.
        """
        request = self._request(
            tenant=caller.tenant,
            requested_by=caller.subject,
            idempotency_key=idempotency_key,
            spec=spec,
            priority=priority,
        )
        with domain_errors(self._peer):
            response = await self._rpc(request, timeout=CALL_SECONDS)
        return AcceptedJob(response.job_id, response.sequence)


class OwnOrders(Generic[SpecT_contra]):
    """Job creation for kinds that the gateway owns.

    Args:
        prefix: of their ids.
    """

    def __init__(self, bus: Bus, kind: str, prefix: str) -> None:
        self._queue = JobQueue(bus)
        self._kind = kind
        self._prefix = prefix

    async def create(
        self,
        spec: SpecT_contra,
        caller: Caller,
        *,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> AcceptedJob:
        """As `GrpcOrders.create`; nothing is looked up here."""
        submitted = await self._queue.submit(
            kind=self._kind,
            prefix=self._prefix,
            tenant=caller.tenant,
            requested_by=caller.subject,
            idempotency_key=idempotency_key,
            spec=spec,
            priority=priority,
        )
        return AcceptedJob(submitted.job_id, submitted.sequence)


class OwnJobs:
    """Job control for kinds that the gateway owns."""

    def __init__(self, bus: Bus) -> None:
        self._control_job = ControlJob(bus, kinds_of("gateway"))

    async def control(
        self,
        *,
        tenant: str,
        job_id: str,
        desired_state: JobDesiredState.ValueType,
        requested_by: str,
    ) -> int:
        """As `GrpcJobOwner.control`."""
        return await self._control_job(
            tenant=tenant, job_id=job_id, desired_state=desired_state, requested_by=requested_by
        )


class GrpcJobOwner:
    """Job control by the JobService of another service."""

    def __init__(self, channel: grpc.aio.Channel, peer: str) -> None:
        self._stub = JobServiceStub(channel)
        self._peer = peer

    async def control(
        self,
        *,
        tenant: str,
        job_id: str,
        desired_state: JobDesiredState.ValueType,
        requested_by: str,
    ) -> int:
        """Record a desired state; gives its sequence in the JOBS stream.

        Raises:
            NotFoundError: no such job of the tenant's in this service.
            PreconditionError: the job has ended, so that the desired state cannot come true.
            UnavailableError: the bus does not answer; nothing was recorded.
        """
        request = ControlJobRequest(
            tenant=tenant, job_id=job_id, desired_state=desired_state, requested_by=requested_by
        )
        with domain_errors(self._peer):
            response = await self._stub.ControlJob(request, timeout=CALL_SECONDS)
        return response.sequence


PROBE_SECONDS = 2.0


class HealthProbe:
    """Health check of one replica of a service."""

    def __init__(self, channel: Channel, service: str, address: str) -> None:
        self._stub = health_pb2_grpc.HealthStub(channel)
        self._service = service
        self._address = address

    async def __call__(self) -> ServiceStatus:
        """How it is; nothing raises."""
        call = self._stub.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_SECONDS)
        try:
            is_serving = (await call).status == health_pb2.HealthCheckResponse.SERVING
            said = {str(key): str(value) for key, value in await call.trailing_metadata() or ()}
        except grpc.aio.AioRpcError:
            return ServiceStatus(self._service, self._address, "unreachable", "")
        status = "serving" if is_serving else "not_serving"
        return ServiceStatus(self._service, self._address, status, said.get(VERSION_METADATA, ""))


@dataclass(frozen=True)
class Orders:
    """Services that create jobs, by the kind of job."""

    datasets: GrpcOrders[DatasetSpec]
    training: GrpcOrders[TrainSpec]
    evaluations: GrpcOrders[EvaluationSpec]
    builds: GrpcOrders[BuildSpec]


@dataclass(frozen=True)
class Peers:
    """Clients of the other services, connected on first use."""

    engines: Fleet
    moderation: GrpcModeration
    policies: GrpcPolicies
    data_prep: GrpcDataPrep
    trainer: GrpcTrainer
    builder: GrpcOptimizerBuilder
    orders: Orders
    job_owners: Mapping[str, GrpcJobOwner]
    """By the kind of job that they own."""
    probes: Sequence[HealthProbe]
    workers: Sequence[GrpcWorkers]
    replicas: Sequence[GrpcReplica]


@asynccontextmanager
async def open_peers(settings: Settings) -> AsyncIterator[Peers]:
    """Channels to the addresses of the settings, closed when the block ends."""
    secret, identity = settings.service_secret.get_secret_value(), settings.mutual_tls()
    addresses = {
        "moderation": settings.moderation_address,
        "data-prep": settings.data_prep_address,
        "trainer": settings.trainer_address,
        "optimizer-builder": settings.optimizer_builder_address,
    }
    probed: list[tuple[Channel, str, str]] = []
    async with AsyncExitStack() as stack:

        async def opened(name: str, address: str) -> Channel:
            channel = open_channel(address, secret, identity=identity, peer=name)
            probed.append((channel, name, address))
            return await stack.enter_async_context(channel)

        to_inference = [
            await opened("inference", address) for address in settings.inference_addresses
        ]
        to_moderation, to_data_prep, to_trainer, to_optimizer = [
            await opened(name, address) for name, address in addresses.items()
        ]
        yield Peers(
            engines=_watched_fleet(to_inference),
            moderation=GrpcModeration(to_moderation),
            policies=GrpcPolicies(to_moderation),
            data_prep=GrpcDataPrep(to_data_prep),
            trainer=GrpcTrainer(to_trainer),
            builder=GrpcOptimizerBuilder(to_optimizer),
            orders=_orders(to_data_prep, to_trainer, to_optimizer),
            job_owners={
                kind: GrpcJobOwner(to, name) for to, name, _ in probed for kind in kinds_of(name)
            },
            probes=[HealthProbe(*each) for each in probed],
            workers=[GrpcWorkers(*each) for each in probed if each[1] in OWNERS_OF_JOBS],
            replicas=[GrpcReplica(it, where) for it, name, where in probed if name == "inference"],
        )


def _watched_fleet(channels: Sequence[Channel]) -> Fleet:
    fleet = Fleet([GrpcEngines(channel) for channel in channels])
    INFERENCE_LEFT_ALONE.set_function(lambda: fleet.left_alone)
    return fleet


def _orders(to_data_prep: Channel, to_trainer: Channel, to_optimizer: Channel) -> Orders:
    data_prep, trainer = DataPrepServiceStub(to_data_prep), TrainerServiceStub(to_trainer)
    builder = OptimizerBuilderServiceStub(to_optimizer)
    return Orders(
        GrpcOrders(data_prep.CreateDataset, CreateDatasetRequest, data_prep_adapter.PEER),
        GrpcOrders(trainer.CreateFineTuningJob, CreateFineTuningJobRequest, trainer_adapter.PEER),
        GrpcOrders(trainer.CreateEvaluationJob, CreateEvaluationJobRequest, trainer_adapter.PEER),
        GrpcOrders(builder.CreateBuild, CreateBuildRequest, builder_adapter.PEER),
    )
