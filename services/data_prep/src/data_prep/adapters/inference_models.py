"""Models behind the inference service, asked by the service itself, patiently."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import (
    Conversation,
    GenerateRequest,
    GenerationEnd,
    SamplingOptions,
    ScoreRequest,
    ScoreResponse,
)
from service_kit.errors import (
    DeadlineError,
    InvalidInputError,
    OverloadedError,
    PreconditionError,
    TooLargeError,
    UnavailableError,
)
from service_kit.grpc_client import domain_errors

from data_prep.ask_models import ModelAnswer

if TYPE_CHECKING:
    # Only the types know it.
    from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

PEER = "inference"
CALL_SECONDS = 120.0
"""Of one try; it waits in the service's queue too."""
TOKENS_A_SECOND = 10.0
"""A text has so much more time for each token that it may have."""
LOADING_SECONDS = 300.0
"""Of the first call, which loads the model."""
PATIENCE_SECONDS = 600.0
"""So long a question waits for a service that has no room or is away."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
MASK_64 = 2**64 - 1


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
        request = _generate_request(tenant, model, "a", options)

        async def ask() -> ModelAnswer:
            _, end = await self._generate(request, LOADING_SECONDS)
            return ModelAnswer("", model if end.HasField("cascade") else end.version_id)

        return _able(model, await self._answer(ask, patience_seconds=0)).version_id

    async def loss(self, request: ScoreRequest) -> ModelAnswer:
        """The mean negative log-likelihood of the one continuation's tokens, in nats.

        None where the model cannot score it: too long, or not to be rendered.

        Raises:
            NotFoundError: The model is unknown.
            UnavailableError: The service does not answer, or has no room, after all patience.
        """
        return await self._answer(self._score(request, CALL_SECONDS), PATIENCE_SECONDS)

    async def text(
        self, *, tenant: str, model: str, prompt: str, max_new_tokens: int, seed: int
    ) -> ModelAnswer:
        """The greedy answer to a prompt.

        None where the prompt is too long for the model, or its answer has no end.

        Raises:
            As of `loss`.
        """
        # Greedy, so that the seed decides nothing where an engine is exact.
        options = SamplingOptions(max_new_tokens=max_new_tokens, temperature=0, seed=seed & MASK_64)
        request = _generate_request(tenant, model, prompt, options)
        timeout = CALL_SECONDS + max_new_tokens / TOKENS_A_SECOND

        async def ask() -> ModelAnswer:
            text, end = await self._generate(request, timeout)
            if end.finish_reason != "stop":
                return ModelAnswer(None, "", f"the answer has no end: {end.finish_reason}")
            return ModelAnswer(text, end.version_id)

        return await self._answer(ask, PATIENCE_SECONDS)

    async def _generate(
        self, request: GenerateRequest, timeout: float
    ) -> tuple[str, GenerationEnd]:
        """The whole answer and its end."""
        parts: list[str] = []
        end = GenerationEnd()
        async for part in self._stub.Generate(request, timeout=timeout):
            parts.append(part.text_delta)
            if part.HasField("end"):
                end = part.end
        return "".join(parts), end

    def _score(self, request: ScoreRequest, timeout: float) -> Callable[[], Awaitable[ModelAnswer]]:
        async def ask() -> ModelAnswer:
            response: ScoreResponse = await self._stub.Score(request, timeout=timeout)
            [score] = response.scores
            loss = -float(score.log_likelihood) / max(int(score.tokens), 1)
            return ModelAnswer(loss, response.version_id)

        return ask

    async def _answer(
        self, ask: Callable[[], Awaitable[ModelAnswer]], patience_seconds: float
    ) -> ModelAnswer:
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


def _able(model: str, answer: ModelAnswer) -> ModelAnswer:
    if answer.value is None:
        raise PreconditionError(f"{model} cannot be asked: {answer.refusal}")
    return answer


def _generate_request(
    tenant: str, model: str, prompt: str, options: SamplingOptions
) -> GenerateRequest:
    turn = ChatMessage(role="user", content=prompt)
    conversation = Conversation(messages=[turn])
    return GenerateRequest(tenant=tenant, model=model, conversation=conversation, options=options)
