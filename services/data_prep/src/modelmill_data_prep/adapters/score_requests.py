"""Rows as the inference service scores them: how likely the last answer is, after what precedes."""

import json

import pyarrow as pa
from modelmill.common.v1.chat_pb2 import ChatMessage, Tool, ToolCall
from modelmill.inference.v1.inference_service_pb2 import Conversation as ConversationMessage
from modelmill.inference.v1.inference_service_pb2 import ScoreRequest
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.conversations import Conversation
from modelmill_tokenization.tool_turns import Function, Turn

from modelmill_data_prep.domain.tokens.row_turns import conversations_of

HEAD_CHARACTERS = 64
"""So much of a document is given, and the rest scored; of a shorter one a quarter."""
MAX_REQUEST_BYTES = 2 << 20
"""A larger row is in no model's context, and is not asked about."""


def score_requests(rows: pa.RecordBatch) -> list[ScoreRequest | None]:
    """A request for each row of `ROWS`, without tenant and model.

    None where there is nothing to score: an answer without text, tools that are none, or a row that
    is too large for any model.
    """
    requests = [_request(one) for one in conversations_of(rows)]
    return [
        None if request is None or request.ByteSize() > MAX_REQUEST_BYTES else request
        for request in requests
    ]


def _request(conversation: Conversation | InvalidInputError) -> ScoreRequest | None:
    if isinstance(conversation, InvalidInputError):
        return None
    *before, last = conversation.messages
    answer = last["content"]
    if not before:
        head = max(1, min(HEAD_CHARACTERS, len(answer) // 4))
        if len(answer) <= head:
            return None
        return ScoreRequest(text=answer[:head], continuations=[answer[head:]])
    if not answer:
        return None
    turns = ConversationMessage(
        messages=[_message(turn) for turn in before],
        tools=[_tool(function) for function in conversation.tools],
    )
    return ScoreRequest(conversation=turns, continuations=[answer])


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
