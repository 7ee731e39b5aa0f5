"""Requests to models: Score and Generate messages, and their JSON form for the parent."""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill.common.v1.chat_pb2 import ChatMessage, Tool, ToolCall
from modelmill.inference.v1.inference_service_pb2 import (
    Conversation,
    GenerateRequest,
    SamplingOptions,
    ScoreRequest,
)
from modelmill_evaluation.score_names import OF_CHOICES, OF_LIKELIHOODS, OF_TEXTS

from modelmill_trainer.evaluating.items import SCORE, WRITE, Item, Prompt, Suite


@dataclass(frozen=True)
class Question:
    """One request for one item and one model."""

    suite: Suite
    item: Item
    side: int
    """0 for the evaluated model, 1 for the one it is compared with."""
    asks: str

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Key of its answer."""
        return self.suite.name, self.item.key, self.side, self.asks

    def as_json(self) -> dict[str, Any]:
        """Message to the parent, which adds tenant and version."""
        if self.asks == SCORE:
            request: Any = ScoreRequest(continuations=self.item.continuations)
        else:
            options = SamplingOptions(
                max_new_tokens=self.suite.max_new_tokens, temperature=0, stop=self.item.stops
            )
            request = GenerateRequest(options=options)
        put_prompt(request, self.item.prompt)
        return model_request(self.asks, self.side, request)


def model_request(asks: str, side: int, request: Any) -> dict[str, Any]:
    """JSON message that `modelmill_trainer.model_requests.ModelRequestHandler` accepts."""
    written = b64encode(request.SerializeToString(deterministic=True)).decode()
    return {"asks": asks, "side": side, "request": written}


def questions_of(suites: Sequence[Suite], sides: int) -> Iterator[Question]:
    """All requests, row by row, so that both models have answered the same rows at any time."""
    for suite in suites:
        kinds = request_kinds(suite)
        for item in suite.items:
            for side in range(sides):
                for asks in kinds:
                    if asks == SCORE or item.is_generative:
                        yield Question(suite, item, side, asks)


def request_kinds(suite: Suite) -> tuple[str, ...]:
    """Request kinds that a suite's metrics need."""
    wanted = set(suite.measures)
    score = wanted & {*OF_LIKELIHOODS, *OF_CHOICES}
    return (*([SCORE] if score else []), *([WRITE] if wanted & set(OF_TEXTS) else []))


def put_prompt(request: Any, prompt: Prompt) -> None:
    """Write an item's prompt into a Score or Generate request."""
    if not prompt.turns:
        request.text = prompt.text
        return
    request.conversation.CopyFrom(
        Conversation(
            messages=[_message(turn) for turn in prompt.turns],
            tools=[_tool(tool) for tool in prompt.tools],
        )
    )


def _message(turn: Any) -> ChatMessage:
    calls = turn.get("tool_calls") or ()
    return ChatMessage(
        role=turn["role"],
        content=turn.get("content") or "",
        tool_calls=[
            ToolCall(id=call.get("id", ""), **_named(call.get("function") or {}, "arguments"))
            for call in calls
        ],
        tool_call_id=turn.get("tool_call_id") or "",
    )


def _named(function: Any, what: str) -> dict[str, str]:
    return {"name": str(function.get("name", "")), what: _as_text(function.get(what))}


def _tool(tool: Any) -> Tool:
    function = tool.get("function") or {}
    return Tool(
        name=str(function.get("name", "")),
        description=str(function.get("description") or ""),
        parameters_schema=_as_text(function.get("parameters")),
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value or {}, ensure_ascii=False)
