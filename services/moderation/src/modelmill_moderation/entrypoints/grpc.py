"""gRPC service modelmill.moderation.v1: unpack, call the use case, pack; no rules here."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import grpc
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as pb_grpc
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.subjects import token
from modelmill_guard.judge import Window
from modelmill_guard.verdict import Direction, Released, RuleMatch, Verdict
from modelmill_service_kit.errors import InvalidInputError

from modelmill_moderation.change_policy import Change, ChangePolicy
from modelmill_moderation.check_text import CheckText
from modelmill_moderation.domain.policy_documents import named_documents
from modelmill_moderation.guard_text import GrowingText, GuardText
from modelmill_moderation.judge_window import JudgeWindow
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


DIRECTIONS = {pb.DIRECTION_INPUT: Direction.INPUT, pb.DIRECTION_OUTPUT: Direction.OUTPUT}


class ModerationServicer(PolicyProcedures, pb_grpc.ModerationServiceServicer):
    def __init__(
        self,
        check_text: CheckText,
        guard_text: GuardText,
        judge_window: JudgeWindow,
        change_policy: ChangePolicy,
        show_policy: ShowPolicy,
    ) -> None:
        super().__init__(change_policy, show_policy)
        self._check_text = check_text
        self._guard_text = guard_text
        self._judge_window = judge_window

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        tenant, direction = _whose(request)
        verdict = await self._check_text(
            tenant=tenant,
            text=request.text,
            direction=direction,
            each_rule_once=request.each_rule_once,
        )
        return pb.CheckResponse(verdict=verdict_message(verdict))

    async def Guard(
        self, requests: AsyncIterator[pb.GuardRequest], context: Context
    ) -> AsyncIterator[pb.GuardResponse]:
        """One response per request; the last has the verdict and ends the stream.

        Half-closing without `end_of_text` also ends the text.
        """
        growing: GrowingText | None = None
        try:
            async for request in requests:
                if growing is None:
                    tenant, direction = _whose(request)
                    growing = self._guard_text.open(tenant=tenant, direction=direction)
                released = await growing.push(request.text)
                if released.verdict is None and request.end_of_text:
                    released = _joined(released, await growing.finish())
                yield _response(released)
                if released.verdict is not None:
                    return
            if growing is not None:
                yield _response(await growing.finish())
        finally:
            if growing is not None:
                await growing.close()

    async def JudgeWindow(
        self, request: pb.JudgeWindowRequest, context: Context
    ) -> pb.JudgeWindowResponse:
        tenant, direction = _whose(request)
        ruling = await self._judge_window(
            tenant=tenant,
            digest=request.policy_digest,
            direction=direction,
            judge_id=request.judge_id,
            window=Window(request.start, request.context, request.text),
        )
        return pb.JudgeWindowResponse(
            matches=map(_match_message, ruling.matches), unanswered=not ruling.answered
        )


def verdict_message(verdict: Verdict) -> pb.Verdict:
    """Convert a verdict to protobuf."""
    return pb.Verdict(
        action=pb.Action.ValueType(verdict.action),
        matches=map(_match_message, verdict.matches),
        text=verdict.text,
        policy_digest=verdict.policy_digest,
        unanswered_judges=verdict.unanswered,
    )


def _match_message(match: RuleMatch) -> pb.RuleMatch:
    return pb.RuleMatch(
        rule_id=match.rule_id,
        category=match.category,
        action=pb.Action.ValueType(match.action),
        start=match.start,
        end=match.end,
        score=match.score,
    )


def _whose(
    request: pb.CheckRequest | pb.GuardRequest | pb.JudgeWindowRequest,
) -> tuple[str, Direction]:
    errors: list[str] = []
    try:
        token(request.tenant, "tenant")
    except InvalidInputError as error:
        errors += error.errors
    direction = DIRECTIONS.get(request.direction)
    if direction is None:
        errors.append("direction must be DIRECTION_INPUT or DIRECTION_OUTPUT")
    if errors or direction is None:
        raise InvalidInputError(errors)
    return request.tenant, direction


def _joined(first: Released, last: Released) -> Released:
    return Released(first.text + last.text, last.verdict)


def _response(released: Released) -> pb.GuardResponse:
    verdict = verdict_message(released.verdict) if released.verdict is not None else None
    return pb.GuardResponse(released=released.text, verdict=verdict)
