"""RPCs that read and change policies; no rules here."""

from dataclasses import asdict
from typing import Any

import grpc
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.subjects import token
from modelmill_service_kit.errors import InvalidInputError

from modelmill_moderation.change_policy import Change, ChangePolicy
from modelmill_moderation.domain.policy_documents import named_documents
from modelmill_moderation.show_policy import ShowPolicy, default_documents

Context = grpc.aio.ServicerContext[Any, Any]


class PolicyProcedures:
    """Policy RPCs of ModerationService."""

    def __init__(self, change_policy: ChangePolicy, show_policy: ShowPolicy) -> None:
        self._change_policy = change_policy
        self._show_policy = show_policy

    async def PutPolicy(
        self, request: pb.PutPolicyRequest, context: Context
    ) -> pb.PutPolicyResponse:
        change = await self._change_policy.put(
            token(request.tenant, "tenant"),
            named_documents([(document.name, document.text) for document in request.documents]),
            removing=request.remove_default_rules,
            by=request.changed_by,
            expected=_expected(request),
            dry=request.dry_run,
        )
        return pb.PutPolicyResponse(
            policy=version_message(change.state),
            changes=_changes(change),
            written=change.written,
            removed_default_rules=change.state.removed_default_rules,
            unconfirmed_default_rules=change.unconfirmed,
            default_documents=default_documents(change.state) if request.dry_run else (),
        )

    async def GetPolicy(
        self, request: pb.GetPolicyRequest, context: Context
    ) -> pb.GetPolicyResponse:
        tenant = token(request.tenant, "tenant")
        shown = await self._show_policy(tenant, request.version)
        return pb.GetPolicyResponse(
            policy=version_message(shown.state),
            documents=shown.documents,
            default_documents=shown.default_documents,
            removed_default_rules=shown.removed,
        )

    async def ListPolicyVersions(
        self, request: pb.ListPolicyVersionsRequest, context: Context
    ) -> pb.ListPolicyVersionsResponse:
        tenant = token(request.tenant, "tenant")
        states = await self._show_policy.versions(tenant, request.limit)
        return pb.ListPolicyVersionsResponse(policies=map(version_message, states))

    async def RevertPolicy(
        self, request: pb.RevertPolicyRequest, context: Context
    ) -> pb.RevertPolicyResponse:
        tenant, by = token(request.tenant, "tenant"), request.changed_by
        expected = _expected(request)
        if request.version:
            change = await self._change_policy.restore(
                tenant,
                request.version,
                removing=request.remove_default_rules,
                by=by,
                expected=expected,
            )
        elif request.shared:
            change = await self._change_policy.follow_shared(tenant, by=by, expected=expected)
        else:
            raise InvalidInputError("name a version from 1 on, or say shared")
        return pb.RevertPolicyResponse(
            policy=version_message(change.state),
            changes=_changes(change),
            removed_default_rules=change.state.removed_default_rules,
            unconfirmed_default_rules=change.unconfirmed,
        )


def version_message(state: PolicyState) -> pb.PolicyVersion:
    """Metadata of a version, without its content."""
    return pb.PolicyVersion(
        tenant=state.tenant,
        version=state.version,
        digest=state.digest,
        changed_by=state.changed_by,
        changed_at=state.changed_at,
        follows_shared=state.follows_shared,
        restores_version=state.restores_version,
    )


def _changes(change: Change) -> pb.PolicyChanges:
    return pb.PolicyChanges(**asdict(change.changes))


def _expected(request: pb.PutPolicyRequest | pb.RevertPolicyRequest) -> str | None:
    return request.expected_digest if request.HasField("expected_digest") else None
