"""The moderation service as the keeper of policies."""

from collections.abc import Sequence

import grpc
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.adapters.moderation import PEER

SECONDS = 30.0
"""Ten thousand rules take a second or two to compile."""


class GrpcPolicies:
    """Shows and changes policies. Refusals come through as moderation words them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ModerationServiceStub(channel)

    async def put(self, request: pb.PutPolicyRequest) -> pb.PutPolicyResponse:
        with domain_errors(PEER):
            return await self._stub.PutPolicy(request, timeout=SECONDS)

    async def get(self, tenant: str, version: int) -> pb.GetPolicyResponse:
        request = pb.GetPolicyRequest(tenant=tenant, version=version)
        with domain_errors(PEER):
            return await self._stub.GetPolicy(request, timeout=SECONDS)

    async def versions(self, tenant: str) -> Sequence[pb.PolicyVersion]:
        request = pb.ListPolicyVersionsRequest(tenant=tenant)
        with domain_errors(PEER):
            return (await self._stub.ListPolicyVersions(request, timeout=SECONDS)).policies

    async def revert(self, request: pb.RevertPolicyRequest) -> pb.RevertPolicyResponse:
        with domain_errors(PEER):
            return await self._stub.RevertPolicy(request, timeout=SECONDS)
