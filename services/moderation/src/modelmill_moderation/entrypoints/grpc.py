"""gRPC service modelmill.moderation.v1: unpack, call the use case, pack; no rules here."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as pb_grpc
from modelmill_bus.subjects import token
from modelmill_guard.judge import Window
from modelmill_guard.verdict import Direction, Released, RuleMatch, Verdict
from modelmill_service_kit.errors import InvalidInputError

from modelmill_moderation.change_policy import ChangePolicy
from modelmill_moderation.check_text import CheckText
from modelmill_moderation.entrypoints.grpc_policies import PolicyProcedures
from modelmill_moderation.guard_text import GrowingText, GuardText
from modelmill_moderation.judge_window import JudgeWindow
from modelmill_moderation.show_policy import ShowPolicy

Context = grpc.aio.ServicerContext[Any, Any]

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
