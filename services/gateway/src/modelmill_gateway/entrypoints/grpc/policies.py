"""The tenant's own policy, and what people say of verdicts, over gRPC."""

from typing import Any

from modelmill.gateway.v1 import gateway_service_pb2 as pb

from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.grpc.messages import alike, idempotency_key_of
from modelmill_gateway.entrypoints.schemas.feedback import FeedbackBody
from modelmill_gateway.entrypoints.schemas.parsing import parse_fields
from modelmill_gateway.entrypoints.schemas.policies import PolicyBody, RevertBody
from modelmill_gateway.guarding.policy_book import ManagePolicy
from modelmill_gateway.guarding.record_feedback import RecordFeedback


class PolicyProcedures:
    """PutPolicy, GetPolicy, ListPolicyVersions, RevertPolicy and RecordFeedback.

    Bodies are checked by the rules of HTTP.
    """

    def __init__(self, manage_policy: ManagePolicy, record_feedback: RecordFeedback) -> None:
        self._manage_policy = manage_policy
        self._record_feedback = record_feedback

    async def PutPolicy(
        self, request: pb.PutPolicyRequest, call: RequestContext
    ) -> pb.PutPolicyResponse:
        fields = {
            "documents": [{"name": each.name, "text": each.text} for each in request.documents],
            "dry_run": request.dry_run,
            "expected_digest": _expected(request),
            "remove_default_rules": [*request.remove_default_rules],
        }
        body = parse_fields(fields, PolicyBody)
        answer = await self._manage_policy.put(
            body.by_name,
            call.caller,
            removing=body.remove_default_rules,
            dry_run=body.dry_run,
            expected_digest=body.expected_digest,
        )
        return alike(answer, pb.PutPolicyResponse)

    async def GetPolicy(
        self, request: pb.GetPolicyRequest, call: RequestContext
    ) -> pb.GetPolicyResponse:
        found = await self._manage_policy.get(request.version, call.caller)
        return alike(found, pb.GetPolicyResponse)

    async def ListPolicyVersions(
        self, _: pb.ListPolicyVersionsRequest, call: RequestContext
    ) -> pb.ListPolicyVersionsResponse:
        versions = await self._manage_policy.versions(call.caller)
        return pb.ListPolicyVersionsResponse(policies=versions)

    async def RevertPolicy(
        self, request: pb.RevertPolicyRequest, call: RequestContext
    ) -> pb.RevertPolicyResponse:
        fields = {
            "version": request.version if request.HasField("version") else None,
            "shared": request.shared,
            "expected_digest": _expected(request),
            "remove_default_rules": [*request.remove_default_rules],
        }
        body = parse_fields(fields, RevertBody)
        answer = await self._manage_policy.revert(
            body.version,
            call.caller,
            removing=body.remove_default_rules,
            expected_digest=body.expected_digest,
        )
        return pb.RevertPolicyResponse(
            policy=answer.policy,
            changes=answer.changes,
            removed_default_rules=answer.removed_default_rules,
        )

    async def RecordFeedback(
        self, request: pb.RecordFeedbackRequest, call: RequestContext
    ) -> pb.RecordFeedbackResponse:
        key = idempotency_key_of(request)
        # What is empty was not said.
        texts = ("request_id", "report", "text", "direction", "comment", "correction")
        fields: dict[str, Any] = {name: getattr(request, name) or None for name in texts}
        fields |= {"categories": [*request.categories], "rules": [*request.rules]}
        fields["score"] = request.score if request.HasField("score") else None
        said = parse_fields(fields, FeedbackBody).feedback
        recorded = await self._record_feedback(said, call.caller, idempotency_key=key)
        return pb.RecordFeedbackResponse(feedback_id=recorded.feedback_id, created_at=recorded.at)


def _expected(request: pb.PutPolicyRequest | pb.RevertPolicyRequest) -> str | None:
    return request.expected_digest if request.HasField("expected_digest") else None
