"""`RowModels` over the pipe to the parent process, which alone can reach the inference service."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from modelmill.common.v1.chat_pb2 import ChatMessage, Tool, ToolCall
from modelmill.inference.v1.inference_service_pb2 import Conversation as ConversationMessage
from modelmill.inference.v1.inference_service_pb2 import ScoreRequest
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.conversations import Conversation
from modelmill_tokenization.tool_turns import Function, Turn
from numpy.typing import NDArray

from modelmill_data_prep.domain.augmenting.row_makers import GenerationPrompt, TextGenerator
from modelmill_data_prep.domain.tokens.encode_rows import conversations_of
from modelmill_data_prep.pipeline.model_augmentation import ModelUse

HEAD_CHARACTERS = 64
"""Of a document these first characters (at most a quarter) are context; the rest is scored."""
MAX_REQUEST_BYTES = 2 << 20
"""Larger rows exceed any model's context, and are not sent."""


def score_requests(rows: pa.RecordBatch) -> list[ScoreRequest | None]:
    """One request per row of `ROWS`, without tenant and model.

    None for rows that cannot be scored: empty answer, invalid tools, or too large.
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


NOTHING_TO_SCORE = "the row has no text to score, or more than any model reads"

Ask = Callable[[Iterable[Mapping[str, Any]]], Iterator[tuple[int, Any]]]
"""Signature of `modelmill_jobs.child.ChildPort.ask`: requests to (index, answer) pairs."""


@dataclass
class _Use:
    questions: int = 0
    without_answer: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    first_refusal: tuple[int, str] | None = None
    """Index and reason; by index, because answers arrive in any order."""

    def count(self, place: int, answer: Mapping[str, Any]) -> None:
        if answer["value"] is not None:
            self.versions[answer["version"]] += 1
            return
        self.without_answer += 1
        if self.first_refusal is None or place < self.first_refusal[0]:
            self.first_refusal = place, answer["refusal"]


class ParentModels:
    """See `pipeline.asking.Models`.

    Args:
        ask: Sends requests to the parent, which answers them by `JobModelRequests`.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._uses: dict[tuple[str, str], _Use] = {}

    def losses(
        self, model: str, rows: pa.RecordBatch, answered: Callable[[int], None]
    ) -> NDArray[np.float64]:
        """See `RowModels`."""
        use = self._use("loss", model)
        requests = score_requests(rows)
        losses = np.full(len(requests), np.nan)
        asked: list[int] = []
        for place, request in enumerate(requests):
            if request is None:
                nothing = {"value": None, "refusal": NOTHING_TO_SCORE}
                use.count(use.questions + place, nothing)
            else:
                asked.append(place)
        questions = (
            {"asks": "loss", "model": model, "request": _text_of(requests[place])}
            for place in asked
        )
        for count, (number, answer) in enumerate(self._ask(questions), start=1):
            use.count(use.questions + asked[number], answer)
            if answer["value"] is not None:
                losses[asked[number]] = answer["value"]
            answered(count)
        use.questions += len(requests)
        return losses

    def writer(self, model: str) -> TextGenerator:
        """See `RowModels`."""
        use = self._use("text", model)

        def write(prompts: Sequence[GenerationPrompt]) -> list[str]:
            texts = [""] * len(prompts)
            for place, answer in self._ask(_asking(model, prompt) for prompt in prompts):
                use.count(use.questions + place, answer)
                texts[place] = answer["value"] or ""
            use.questions += len(prompts)
            return texts

        return write

    @property
    def uses(self) -> list[ModelUse]:
        """See `RowModels`."""
        return [
            ModelUse(
                purpose,
                model,
                use.questions,
                use.without_answer,
                versions=dict(sorted(use.versions.items())),
                refusal=use.first_refusal[1] if use.first_refusal else "",
            )
            for (purpose, model), use in sorted(self._uses.items())
        ]

    def _use(self, purpose: str, model: str) -> _Use:
        return self._uses.setdefault((purpose, model), _Use())


def _asking(model: str, prompt: GenerationPrompt) -> dict[str, Any]:
    limits = {"max_new_tokens": prompt.max_new_tokens, "seed": prompt.seed}
    return {"asks": "text", "model": model, "prompt": prompt.text, **limits}


def _text_of(request: Any) -> str:
    return b64encode(request.SerializeToString(deterministic=True)).decode()
