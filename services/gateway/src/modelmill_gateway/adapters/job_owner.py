"""Who owns jobs: takes orders for them, and records what is wanted of them."""

from collections.abc import Sequence
from typing import Any, Generic

import grpc
from modelmill.jobs.v1.job_pb2 import JobDesiredState, JobPriority
from modelmill.jobs.v1.job_service_pb2 import ControlJobRequest
from modelmill.jobs.v1.job_service_pb2_grpc import JobServiceStub
from modelmill_bus.bus import Bus
from modelmill_jobs.control import ControlJob
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ports import AcceptedJob, SpecT_contra

CALL_SECONDS = 30.0


class GrpcOrders(Generic[SpecT_contra]):
    """Orders that a peer takes by an RPC of its own.

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
    """Orders that the gateway takes itself.

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
    """Those that the gateway owns itself."""

    def __init__(self, bus: Bus, kinds: Sequence[str]) -> None:
        self._control_job = ControlJob(bus, kinds)

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
    """The JobService of one peer."""

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
