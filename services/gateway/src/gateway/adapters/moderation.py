"""The moderation service: the verdict on what a caller sends."""

import logging

import grpc
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceStub
from service_kit.errors import (
    DeadlineError,
    InvalidInputError,
    PreconditionError,
    UnavailableError,
)
from service_kit.grpc_client import domain_errors

from gateway.domain.errors import BadRequestError, ModerationAwayError
from gateway.domain.verdict import Hit, InputVerdict

log = logging.getLogger(__name__)

PEER = "moderation"
_NOTHING_PASSES = "moderation gives no verdict, so nothing passes"
_PASSING = (pb.ACTION_ALLOW, pb.ACTION_FLAG, pb.ACTION_MASK)


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
        request = pb.CheckRequest(tenant=tenant, text=text, direction=pb.DIRECTION_INPUT)
        try:
            with domain_errors(PEER):
                response = await self._stub.Check(request, timeout=timeout)
        except InvalidInputError as error:
            raise BadRequestError(error.errors, code="input_too_long") from error
        except (UnavailableError, DeadlineError) as error:
            raise ModerationAwayError(_NOTHING_PASSES) from error
        except PreconditionError as error:
            raise UnavailableError(_NOTHING_PASSES) from error
        except grpc.aio.AioRpcError as error:
            # A bug of moderation is no verdict, either, and no reason to judge without it.
            log.error("moderation answers %s: %s", error.code(), error.details())
            raise UnavailableError(_NOTHING_PASSES) from error
        if not isinstance(response, pb.CheckResponse):
            # gRPC gives None for bytes that are no message, and logs why.
            raise UnavailableError(_NOTHING_PASSES)
        verdict = response.verdict
        return InputVerdict(
            # An unset action is a broken peer, one that is not known a newer one: neither allows.
            blocked=verdict.action not in _PASSING,
            hits=tuple(Hit(match.rule_id, match.category) for match in verdict.matches),
            text=verdict.text,
            policy_digest=verdict.policy_digest,
        )
