"""Who owns jobs, and records the desired state them to do."""

from collections.abc import Sequence

import grpc
from modelmill.jobs.v1.job_pb2 import JobDesiredState
from modelmill.jobs.v1.job_service_pb2 import ControlJobRequest
from modelmill.jobs.v1.job_service_pb2_grpc import JobServiceStub
from modelmill_bus.bus import Bus
from modelmill_jobs.control import ControlJob
from modelmill_service_kit.grpc_client import domain_errors

CALL_SECONDS = 30.0


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
