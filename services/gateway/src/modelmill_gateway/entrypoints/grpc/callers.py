"""Who asks, over gRPC."""

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.gateway.v1 import gateway_service_pb2 as pb

from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.schemas.callers import CallerIdentity


class CallerProcedures:
    """GetMe."""

    async def GetMe(self, _: pb.GetMeRequest, call: RequestContext) -> pb.GetMeResponse:
        shown = CallerIdentity.of_caller(call.caller)
        ends = shown.expires_at
        return pb.GetMeResponse(
            tenant=shown.tenant,
            subject=shown.subject,
            scopes=shown.scopes,
            models=shown.models,
            key_id=shown.key_id or "",
            expires_at=None if ends is None else Timestamp(seconds=ends),
        )
