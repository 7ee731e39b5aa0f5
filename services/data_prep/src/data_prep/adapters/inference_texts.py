"""Texts written by a model behind the inference service."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import (
    Conversation,
    GenerateRequest,
    SamplingOptions,
)
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from service_kit.errors import InvalidInputError
from service_kit.grpc_client import domain_errors

from data_prep.domain.augmenting.generated import Prompt

OpenChannel = Callable[[], AbstractAsyncContextManager[grpc.aio.Channel]]
MASK_64 = 2**64 - 1


class InferenceTexts:
    """Asks for greedy answers, some at a time. Called from code without an event loop.

    Args:
        channel: Opens a channel to the inference service.
        tenant: Whose model it is.
        model: Version, or an alias.
        at_a_time: Prompts under way.
        timeout: Seconds for one answer.
    """

    def __init__(
        self,
        channel: OpenChannel,
        *,
        tenant: str,
        model: str,
        at_a_time: int = 8,
        timeout: float = 120.0,
    ) -> None:
        self._channel = channel
        self._tenant = tenant
        self._model = model
        self._at_a_time = at_a_time
        self._timeout = timeout

    def __call__(self, prompts: Sequence[Prompt]) -> list[str]:
        """An answer to each; empty where the prompt is too long or the answer has no end.

        Raises:
            NotFoundError: The model is unknown, or nothing can run it.
            UnavailableError: The service does not answer.
            DeadlineError: It did not answer in time.
        """
        if not prompts:
            return []
        try:
            return asyncio.run(self._answers(prompts))
        except ExceptionGroup as errors:
            # The first that failed has ended the others.
            raise errors.exceptions[0] from None

    async def _answers(self, prompts: Sequence[Prompt]) -> list[str]:
        free = asyncio.Semaphore(self._at_a_time)
        async with self._channel() as channel, asyncio.TaskGroup() as group:
            stub = InferenceServiceStub(channel)
            tasks = [group.create_task(self._answer(stub, free, prompt)) for prompt in prompts]
        return [task.result() for task in tasks]

    async def _answer(self, stub: Any, free: asyncio.Semaphore, prompt: Prompt) -> str:
        request = GenerateRequest(
            tenant=self._tenant,
            model=self._model,
            conversation=Conversation(messages=[ChatMessage(role="user", content=prompt.text)]),
            options=SamplingOptions(
                max_new_tokens=prompt.max_new_tokens, seed=prompt.seed & MASK_64
            ),
        )
        async with free:
            try:
                with domain_errors("inference"):
                    return await self._read(stub, request)
            except InvalidInputError:
                # Too long for this model; another prompt may not be.
                return ""

    async def _read(self, stub: Any, request: GenerateRequest) -> str:
        parts: list[str] = []
        finished = ""
        async for message in stub.Generate(request, timeout=self._timeout):
            parts.append(message.text_delta)
            if message.HasField("end"):
                finished = message.end.finish_reason
        return "".join(parts) if finished == "stop" else ""
