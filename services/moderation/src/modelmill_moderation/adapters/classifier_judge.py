"""Classifier judges: models of the inference service that score labels by log-likelihood."""

import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import grpc
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import Conversation, ScoreRequest, ScoreResponse
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill_guard.judge import Judge, Opinion, Window
from modelmill_service_kit.errors import (
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
from modelmill_service_kit.grpc_client import domain_errors, open_channel

from modelmill_moderation.domain.judge_answers import (
    Failure,
    NoOpinionError,
    ScoreCache,
    Scores,
    bad_answer,
)

if TYPE_CHECKING:
    # grpcio-tools generates this name in the stub file only.
    from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub
    from modelmill_service_kit.mutual_tls import MutualTls

PEER = "inference"
ALIASES_KNOWN = 1000
ROUNDING = 0.01
"""Tolerance by which a rounded log-likelihood may exceed zero."""
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
    """Stub of the inference service at `address`; None if the address is empty."""
    if not address:
        yield None
        return
    async with open_channel(address, secret, identity=identity, peer=PEER) as channel:
        yield InferenceServiceStub(channel)


class ClassifierJudge:
    """`ask_judge.JudgesWindows` for judges that name a classifier.

    Args:
        stub: Stub of the inference service; None if none is configured.
        timeout: Seconds per window.
        cache: Recent scores. Each request of a chat repeats all earlier messages.
    """

    def __init__(
        self, stub: "InferenceServiceAsyncStub | None", timeout: float, cache: ScoreCache
    ) -> None:
        self._stub = stub
        self._timeout = timeout
        self._cache = cache
        self._versions: OrderedDict[tuple[str, str], str] = OrderedDict()
        """Version that last answered for a tenant's alias; scores of older ones are not used."""

    async def opinions(self, judge: Judge, window: Window, *, tenant: str) -> Sequence[Opinion]:
        """Score of the likeliest harmful category: the summed probability of all harmful labels.

        Args:
            tenant: Owner of the classifier's alias.

        Raises:
            NoOpinionError: The model is not reachable, or its response is invalid.
        """
        shares = await self._shares(_question(judge, window, tenant))
        found: dict[str, float] = {}
        for label, category in judge.labels:
            if category is not None:
                found[category] = found.get(category, 0.0) + shares[label]
        # A text between two harmful categories is as harmful as one clearly in one of them.
        likeliest = max(found, key=lambda category: found[category])
        return [Opinion(likeliest, min(sum(found.values()), 1.0))]

    async def _shares(self, request: ScoreRequest) -> Scores:
        """Probability of each label."""
        if self._stub is None:
            raise NoOpinionError(
                Failure.UNKNOWN,
                "moderation has no inference service. Set MODERATION_INFERENCE_ADDRESS",
            )
        alias, asked = (request.tenant, request.model), request.SerializeToString()
        version = self._versions.get(alias)
        if (
            version is not None
            and (cached := self._cache.get(version.encode() + asked)) is not None
        ):
            return cached
        with _no_opinions():
            response: ScoreResponse | None = await self._stub.Score(request, timeout=self._timeout)
        labels, version = request.continuations, response.version_id if response else ""
        values = shares_of(_log_likelihoods(response, len(labels)))
        shares = dict(zip(labels, values, strict=True))
        self._remember(alias, version)
        self._cache.put(version.encode() + asked, shares)
        return shares

    def _remember(self, alias: tuple[str, str], version: str) -> None:
        self._versions[alias] = version
        self._versions.move_to_end(alias)
        while len(self._versions) > ALIASES_KNOWN:
            self._versions.popitem(last=False)


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
    """Convert errors of the call to NoOpinionError."""
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
    # gRPC gives None for bytes that do not parse.
    values = [] if response is None else [score.log_likelihood for score in response.scores]
    if len(values) != labels:
        raise bad_answer("does not have one score per label")
    if not all(value <= ROUNDING for value in values) or not any(map(math.isfinite, values)):
        raise bad_answer("has scores that are not log-probabilities")
    return values


def shares_of(values: Sequence[float]) -> list[float]:
    """Softmax of log-likelihoods, of which at least one is finite."""
    highest = max(values)
    weights = [math.exp(value - highest) for value in values]
    return [weight / sum(weights) for weight in weights]
