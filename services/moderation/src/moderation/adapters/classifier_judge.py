"""Judges that are models behind the inference service, which finds labels more or less likely."""

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import grpc
from guard.judge import Judge, Opinion, Window
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import Conversation, ScoreRequest, ScoreResponse
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from service_kit.errors import (
    DeadlineError,
    DomainError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from service_kit.grpc_client import domain_errors, open_channel

from moderation.domain.no_opinion import Failure, NoOpinionError, bad_answer

if TYPE_CHECKING:
    # Only the types know the first.
    from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub
    from service_kit.mutual_tls import MutualTls

PEER = "inference"
ROUNDING = 0.01
"""What an engine's sums may lie above zero."""
FAILURES: dict[type[DomainError], Failure] = {
    DeadlineError: Failure.TIMEOUT,
    UnavailableError: Failure.UNREACHABLE,
    OverloadedError: Failure.BUSY,
    NotFoundError: Failure.UNKNOWN,
    InvalidInputError: Failure.REFUSED,
    TooLargeError: Failure.REFUSED,
    PreconditionError: Failure.REFUSED,
    PermissionDeniedError: Failure.DENIED,
    UnauthenticatedError: Failure.DENIED,
}


@asynccontextmanager
async def inference_at(
    address: str, secret: str, identity: "MutualTls | None"
) -> AsyncIterator["InferenceServiceAsyncStub | None"]:
    """The inference service at `address`; None where no address says at whom."""
    if not address:
        yield None
        return
    async with open_channel(address, secret, identity=identity, peer=PEER) as channel:
        yield InferenceServiceStub(channel)


class ClassifierJudge:
    """`ask_judge.JudgesWindows` for judges that name a classifier.

    Args:
        stub: Of the inference service; None where nobody knows one.
        timeout: Seconds for one window.
    """

    def __init__(self, stub: "InferenceServiceAsyncStub | None", timeout: float) -> None:
        self._stub = stub
        self._timeout = timeout

    async def opinions(self, judge: Judge, window: Window, *, tenant: str) -> Sequence[Opinion]:
        """How likely the model finds each category, among all of the judge's labels.

        Args:
            tenant: whose alias the classifier is.

        Raises:
            NoOpinionError: the model cannot be asked, or says nothing that can be read.
        """
        if self._stub is None:
            raise NoOpinionError(Failure.UNKNOWN, "moderation has no inference service to ask")
        request = _question(judge, window, tenant)
        with _no_opinions():
            response: ScoreResponse | None = await self._stub.Score(request, timeout=self._timeout)
        shares = shares_of(_log_likelihoods(response, len(judge.labels)))
        found: dict[str, float] = {}
        for (_, category), share in zip(judge.labels, shares, strict=True):
            if category is not None:
                found[category] = found.get(category, 0.0) + share
        return [Opinion(category, min(share, 1.0)) for category, share in found.items()]


def _question(judge: Judge, window: Window, tenant: str) -> ScoreRequest:
    messages = [
        ChatMessage(role="system", content=judge.instruction),
        ChatMessage(role="user", content=window.context + window.text),
    ]
    return ScoreRequest(
        tenant=tenant,
        model=judge.classifier or "",
        conversation=Conversation(messages=messages),
        continuations=[label for label, _ in judge.labels],
    )


@contextmanager
def _no_opinions() -> Iterator[None]:
    """Within the block, whatever a call raises is a judge without an opinion."""
    try:
        with domain_errors(PEER):
            yield
    except DomainError as error:
        failure = next(
            (FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES), Failure.BROKEN
        )
        raise NoOpinionError(failure, error.message) from error
    except grpc.aio.AioRpcError as error:
        what = f"{PEER} answered {error.code().name}"
        raise NoOpinionError(Failure.BROKEN, what) from error


def _log_likelihoods(response: ScoreResponse | None, labels: int) -> list[float]:
    # gRPC gives None for bytes that are no message.
    values = [] if response is None else [score.log_likelihood for score in response.scores]
    if len(values) != labels:
        raise bad_answer("has not one score for each label")
    if not all(value <= ROUNDING for value in values) or not any(map(math.isfinite, values)):
        raise bad_answer("has scores that are no logarithms of probabilities")
    return values


def shares_of(values: Sequence[float]) -> list[float]:
    """Probabilities among themselves of what has these log-likelihoods, at least one finite."""
    highest = max(values)
    weights = [math.exp(value - highest) for value in values]
    return [weight / sum(weights) for weight in weights]
