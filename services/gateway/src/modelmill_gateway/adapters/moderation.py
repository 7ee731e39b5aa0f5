"""The moderation service: the verdict on what a caller sends, and on windows of an answer."""

import logging
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import grpc
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from modelmill_guard.judge import Window
from modelmill_guard.judging import Ruling
from modelmill_guard.verdict import Action, RuleMatch
from modelmill_service_kit.errors import (
    DeadlineError,
    InvalidInputError,
    PreconditionError,
    UnavailableError,
)
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.domain.errors import (
    BadRequestError,
    ModerationAwayError,
    ModerationLateError,
)
from modelmill_gateway.domain.verdict import Hit, InputVerdict

log = logging.getLogger(__name__)

PEER = "moderation"
_NOTHING_PASSES = "moderation gives no verdict, so nothing passes"
_PASSING = (pb.ACTION_ALLOW, pb.ACTION_FLAG, pb.ACTION_MASK)

AnswerT = TypeVar("AnswerT")


class GrpcModeration:
    """Moderation behind its gRPC port. No verdict, for whatever reason: nothing passes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ModerationServiceStub(channel)

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict:
        """The tenant's policy on `text`.

        Raises:
            BadRequestError: the text is longer than moderation reads.
            ModerationAwayError: moderation is down or late.
            UnavailableError: it is broken, or has no valid policy.
        """
        request = pb.CheckRequest(
            tenant=tenant, text=text, direction=pb.DIRECTION_INPUT, each_rule_once=True
        )
        try:
            response = await _answer(self._stub.Check(request, timeout=timeout), pb.CheckResponse)
        except InvalidInputError as error:
            raise BadRequestError(error.errors, code="input_too_long") from error
        verdict = response.verdict
        return InputVerdict(
            action=_action(verdict.action),
            hits=tuple(
                dict.fromkeys(
                    Hit(
                        each.rule_id,
                        each.category,
                        each.score if each.HasField("score") else 1.0,
                        first=_match(each),
                    )
                    for each in verdict.matches
                )
            ),
            text=verdict.text,
            policy_digest=verdict.policy_digest,
            unanswered=tuple(verdict.unanswered_judges),
        )

    async def judge_window(
        self, judge_id: str, window: Window, *, tenant: str, policy_digest: str, timeout: float
    ) -> Ruling:
        """What a judge of the policy of that digest says of a window of an answer.

        Raises:
            UnavailableError: it says nothing, for whatever reason.
        """
        request = pb.JudgeWindowRequest(
            tenant=tenant,
            policy_digest=policy_digest,
            direction=pb.DIRECTION_OUTPUT,
            judge_id=judge_id,
            start=window.start,
            context=window.context,
            text=window.text,
        )
        call = self._stub.JudgeWindow(request, timeout=timeout)
        try:
            response = await _answer(call, pb.JudgeWindowResponse)
        except InvalidInputError as error:
            log.error("moderation refuses a window: %s", error)
            raise UnavailableError(_NOTHING_PASSES) from error
        return Ruling(
            tuple(_match(match) for match in response.matches), answered=not response.unanswered
        )


async def _answer(call: Awaitable[AnswerT], kind: type[AnswerT]) -> AnswerT:
    try:
        with domain_errors(PEER):
            answer = await call
    except DeadlineError as error:
        raise ModerationLateError(_NOTHING_PASSES) from error
    except UnavailableError as error:
        raise ModerationAwayError(_NOTHING_PASSES) from error
    except PreconditionError as error:
        raise UnavailableError(_NOTHING_PASSES) from error
    except grpc.aio.AioRpcError as error:
        # A bug of moderation is no verdict, either, and no reason to judge without it.
        log.error("moderation answers %s: %s", error.code(), error.details())
        raise UnavailableError(_NOTHING_PASSES) from error
    if not isinstance(answer, kind):
        # gRPC gives None for bytes that are no message, and logs why.
        raise UnavailableError(_NOTHING_PASSES)
    return answer


def _match(match: pb.RuleMatch) -> RuleMatch:
    score = match.score if match.HasField("score") else None
    return RuleMatch(
        match.rule_id, match.category, _action(match.action), match.start, match.end, score
    )


def _action(action: int) -> Action:
    # An unset action is a broken peer, one that is not known a newer one: neither allows.
    return Action(action) if action in _PASSING else Action.BLOCK


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
