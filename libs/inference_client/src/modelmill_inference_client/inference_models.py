"""Client of the inference service for jobs, with patient retries.

`AskedModels` is what a job asks of them, whoever answers: inference, or a fake in unit tests.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import (
    Conversation,
    GenerateRequest,
    GenerationEnd,
    SamplingOptions,
    ScoreRequest,
    ScoreResponse,
)
from modelmill_service_kit.errors import (
    DeadlineError,
    InvalidInputError,
    OverloadedError,
    PreconditionError,
    TooLargeError,
    UnavailableError,
)
from modelmill_service_kit.grpc_client import domain_errors

Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True, slots=True)
class ModelAnswer(Generic[Value]):
    """To one question."""

    value: Value | None
    """None where the model has no answer to this question."""
    version_id: str
    """Of who answered; empty for a refusal."""
    refusal: str = ""
    """Why there is no answer."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a continuation is."""

    log_likelihood: float
    """Natural logarithm, summed over its tokens."""
    tokens: int
    is_greedy: bool
    """Greedy generation would say just this."""


@dataclass(frozen=True, slots=True)
class Text:
    """What was generated."""

    text: str
    finish_reason: str
    """"stop", "length" or "tool_calls"."""


class AskedModels(Protocol):
    """See `modelmill_inference_client.inference_models.InferenceModels`."""

    async def scorer(self, tenant: str, model: str) -> str: ...

    async def writer(self, tenant: str, model: str) -> str: ...

    async def likelihoods(self, request: ScoreRequest) -> ModelAnswer[tuple[Likelihood, ...]]: ...

    async def text(self, request: GenerateRequest) -> ModelAnswer[Text]: ...


if TYPE_CHECKING:
    # Only the types know it.
    from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

PEER = "inference"
CALL_SECONDS = 120.0
"""Of one score, or of a text behind its first part without a new one."""
TEXT_SECONDS = 3600.0
"""Of a text: what a slow engine has written is not thrown away, nor a place in its queue. The first
part may come as late, for a cascade holds back what its small model says."""
LOADING_SECONDS = 300.0
"""Of the first call, which loads the model."""
PATIENCE_SECONDS = 600.0
"""So long a question waits for a service that has no room or is away."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0

Answered = TypeVar("Answered")


class InferenceModels:
    """Asks the inference service.

    Args:
        stub: Of it.
        sleep, clock: Wait, and tell the seconds that calls take; others in tests.
    """

    def __init__(
        self,
        stub: "InferenceServiceAsyncStub",
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stub = stub
        self._sleep = sleep
        self._clock = clock

    async def scorer(self, tenant: str, model: str) -> str:
        """The version that scores for `model`, loaded: an alias may move while a job asks.

        Raises:
            NotFoundError: The model is unknown.
            PreconditionError: It cannot score.
            UnavailableError: The service does not answer, or has no room.
        """
        request = ScoreRequest(tenant=tenant, model=model, text="a", continuations=["b"])
        asked = self._score(request, LOADING_SECONDS)
        return _able(model, await self._answer(asked, patience_seconds=0)).version_id

    async def writer(self, tenant: str, model: str) -> str:
        """The version that answers for `model`, as `scorer`; of a cascade its name, for it has two.

        Raises:
            The same.
        """
        options = SamplingOptions(max_new_tokens=1, temperature=0, seed=0)
        conversation = Conversation(messages=[ChatMessage(role="user", content="a")])
        request = GenerateRequest(
            tenant=tenant, model=model, conversation=conversation, options=options
        )

        async def ask() -> ModelAnswer[str]:
            _, end = await self._generate(request, LOADING_SECONDS)
            return ModelAnswer("", model if end.HasField("cascade") else end.version_id)

        return _able(model, await self._answer(ask, patience_seconds=0)).version_id

    async def likelihoods(self, request: ScoreRequest) -> ModelAnswer[tuple[Likelihood, ...]]:
        """How likely each continuation is, in their order.

        None where the model cannot score them: too long, or not to be rendered.

        Raises:
            NotFoundError: The model is unknown.
            UnavailableError: The service does not answer, or has no room, after all patience.
        """
        return await self._answer(self._score(request, CALL_SECONDS), PATIENCE_SECONDS)

    async def text(self, request: GenerateRequest) -> ModelAnswer[Text]:
        """The whole answer to a prompt. None where the prompt is too long for the model.

        Raises:
            As of `likelihoods`.
        """

        async def ask() -> ModelAnswer[Text]:
            text, end = await self._generate(request, TEXT_SECONDS)
            return ModelAnswer(Text(text, end.finish_reason), end.version_id)

        return await self._answer(ask, PATIENCE_SECONDS)

    async def _generate(
        self, request: GenerateRequest, first_seconds: float
    ) -> tuple[str, GenerationEnd]:
        """The whole answer and its end; the first part may take so long."""
        parts: list[str] = []
        end = GenerationEnd()
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(first_seconds) as limit:
                async for part in self._stub.Generate(request, timeout=TEXT_SECONDS):
                    limit.reschedule(now() + CALL_SECONDS)
                    parts.append(part.text_delta)
                    if part.HasField("end"):
                        end = part.end
        except TimeoutError:
            raise DeadlineError(f"{PEER} did not answer in time") from None
        return "".join(parts), end

    def _score(
        self, request: ScoreRequest, timeout: float
    ) -> Callable[[], Awaitable[ModelAnswer[tuple[Likelihood, ...]]]]:
        async def ask() -> ModelAnswer[tuple[Likelihood, ...]]:
            response: ScoreResponse = await self._stub.Score(request, timeout=timeout)
            scores = tuple(
                Likelihood(float(score.log_likelihood), int(score.tokens), score.is_greedy)
                for score in response.scores
            )
            return ModelAnswer(scores, response.version_id)

        return ask

    async def _answer(
        self, ask: Callable[[], Awaitable[ModelAnswer[Answered]]], patience_seconds: float
    ) -> ModelAnswer[Answered]:
        """The answer, asked for until the service has one or patience has an end."""
        waited, pause = 0.0, FIRST_PAUSE_SECONDS
        while True:
            began = self._clock()
            try:
                with domain_errors(PEER):
                    return await ask()
            except (InvalidInputError, TooLargeError, PreconditionError) as error:
                return ModelAnswer(None, "", error.message)
            except (UnavailableError, OverloadedError, DeadlineError) as error:
                waited += self._clock() - began
                if waited >= patience_seconds:
                    # So the job waits in the queue, and no attempt of it is lost.
                    raise UnavailableError(error.message) from error
                asked = getattr(error, "retry_after_seconds", 0.0)
                seconds = min(max(pause, asked), LONGEST_PAUSE_SECONDS)
            await self._sleep(seconds)
            waited, pause = waited + seconds, pause * 2


def _able(model: str, answer: ModelAnswer[Answered]) -> ModelAnswer[Answered]:
    if answer.value is None:
        raise PreconditionError(f"{model} cannot be asked: {answer.refusal}")
    return answer
