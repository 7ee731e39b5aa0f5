"""The optimizer-builder service: builds."""

import grpc
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import (
    BuildSpec,
    CreateBuildRequest,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2_grpc import (
    OptimizerBuilderServiceStub,
)
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.ordering.accepted_job import AcceptedJob

PEER = "the optimizer-builder"
CALL_SECONDS = 30.0


class GrpcOptimizerBuilder:
    """The optimizer-builder behind its gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = OptimizerBuilderServiceStub(channel)

    async def create(
        self,
        spec: BuildSpec,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> AcceptedJob:
        """Order a build.

        Raises:
            NotFoundError: the version or the dataset is unknown.
            InvalidInputError: the spec is wrong; every error is listed.
            AlreadyExistsError: the key was used for another spec.
            UnavailableError: the bus does not answer; nothing was accepted.
        """
        request = CreateBuildRequest(
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=spec,
            priority=priority,
        )
        with domain_errors(PEER):
            response = await self._stub.CreateBuild(request, timeout=CALL_SECONDS)
        return AcceptedJob(response.job_id, response.sequence)
