"""How surprised a model is by the answers of rows, as the inference service scores them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pyarrow as pa
from modelmill.common.v1.chat_pb2 import ChatMessage, Tool, ToolCall
from modelmill.inference.v1.inference_service_pb2 import Conversation as ConversationMessage
from modelmill.inference.v1.inference_service_pb2 import ScoreRequest
from service_kit.errors import (
    DeadlineError,
    InvalidInputError,
    OverloadedError,
    TooLargeError,
    UnavailableError,
)
from service_kit.grpc_client import domain_errors
from tokenization.conversations import Conversation
from tokenization.tool_turns import Function, Turn

from data_prep.domain.tokens.row_turns import conversations_of

PEER = "inference"
CALL_SECONDS = 120.0
"""Of one try; it waits in the service's queue too."""
LONGEST_PAUSE_SECONDS = 30.0
HEAD_CHARACTERS = 64
"""So much of a document is given, and the rest scored; of a shorter one a quarter."""

Floats = np.ndarray[Any, np.dtype[np.float64]]


class InferenceLoss:
    """Asks for the mean negative log-likelihood of a token, in nats, of each row's last answer.

    Args:
        stub: Of InferenceService.
        model: Version or alias that is asked.
        at_once: Rows that are being scored at any time.
        patience_seconds: So long in all a row waits for a service that has no room or is away,
            before the job gives up.
        sleep: Waits; another one in tests.
    """

    def __init__(
        self,
        stub: Any,
        *,
        tenant: str,
        model: str,
        at_once: int = 8,
        patience_seconds: float = 600.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stub = stub
        self._tenant = tenant
        self._model = model
        self._at_once = at_once
        self._patience_seconds = patience_seconds
        self._sleep = sleep

    async def __call__(self, rows: pa.RecordBatch) -> Floats:
        """The loss of each row of `ROWS`; not a number where the model cannot score it.

        That is: a row that is too long for it or not renderable, and an answer without text.

        Raises:
            NotFoundError: The model is unknown.
            UnavailableError, OverloadedError, DeadlineError: Still so after all patience.
            DomainError: Whatever else the service says no with.
        """
        requests = [self._request(one) for one in conversations_of(rows)]
        losses = np.full(len(requests), np.nan)
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for place, request in waiting:
                if request is not None:
                    losses[place] = await self._loss(request)

        # So many workers and no more tasks than they: a block has a thousand rows.
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._at_once, len(requests))):
                    group.create_task(work())
        except ExceptionGroup as failed:
            # Callers act on the error itself; the others say the same of other rows.
            raise failed.exceptions[0] from None
        return losses

    def _request(self, conversation: Conversation | InvalidInputError) -> ScoreRequest | None:
        if isinstance(conversation, InvalidInputError):
            return None
        *before, last = conversation.messages
        answer = last["content"]
        if not before:
            head = max(1, min(HEAD_CHARACTERS, len(answer) // 4))
            if len(answer) <= head:
                return None
            return self._asking([answer[head:]], text=answer[:head])
        if not answer:
            return None
        turns = ConversationMessage(
            messages=[_message(turn) for turn in before],
            tools=[_tool(function) for function in conversation.tools],
        )
        return self._asking([answer], conversation=turns)

    def _asking(self, continuations: list[str], **prompt: Any) -> ScoreRequest:
        return ScoreRequest(
            tenant=self._tenant, model=self._model, continuations=continuations, **prompt
        )

    async def _loss(self, request: ScoreRequest) -> float:
        waited, pause = 0.0, 0.5
        while True:
            try:
                with domain_errors(PEER):
                    answer = await self._stub.Score(request, timeout=CALL_SECONDS)
            except (InvalidInputError, TooLargeError):
                return float("nan")
            except (UnavailableError, OverloadedError, DeadlineError) as error:
                if waited >= self._patience_seconds:
                    raise
                asked = getattr(error, "retry_after_seconds", 0.0)
                seconds = min(max(pause, asked), LONGEST_PAUSE_SECONDS)
                await self._sleep(seconds)
                waited, pause = waited + seconds, pause * 2
            else:
                [score] = answer.scores
                return -float(score.log_likelihood) / max(int(score.tokens), 1)


def _message(turn: Turn) -> ChatMessage:
    return ChatMessage(
        role=turn["role"],
        content=turn["content"],
        tool_calls=[ToolCall(**call) for call in turn.get("tool_calls", ())],
        tool_call_id=turn.get("tool_call_id", ""),
    )


def _tool(function: Function) -> Tool:
    return Tool(
        name=function["name"],
        description=function["description"],
        parameters_schema=json.dumps(function["parameters"], ensure_ascii=False),
    )
