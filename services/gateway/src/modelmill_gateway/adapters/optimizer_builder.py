"""The optimizer-builder service: what builds would need."""

import grpc
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import (
    BuildSpec,
    SizeBuildRequest,
    SizeBuildResponse,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2_grpc import (
    OptimizerBuilderServiceStub,
)
from modelmill_service_kit.grpc_client import domain_errors

PEER = "the optimizer-builder"
CALL_SECONDS = 30.0


class GrpcOptimizerBuilder:
    """The optimizer-builder behind its gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = OptimizerBuilderServiceStub(channel)

    async def size_build(self, spec: BuildSpec, *, tenant: str) -> SizeBuildResponse:
        """What a build or a search would read and need.

        Raises:
            InvalidInputError: the spec is wrong; lists every error.
            NotFoundError: the version or the dataset is unknown, and nothing else is wrong.
            UnavailableError: the optimizer-builder does not answer.
        """
        request = SizeBuildRequest(tenant=tenant, spec=spec)
        with domain_errors(PEER):
            return await self._stub.SizeBuild(request, timeout=CALL_SECONDS)
