"""A dataset row as a request to the teacher, and with the teacher's answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from modelmill.inference.v1.inference_service_pb2 import GenerateRequest, SamplingOptions

from modelmill_trainer.evaluating.answer_store import Key
from modelmill_trainer.evaluating.items import Prompt
from modelmill_trainer.evaluating.question_kinds import WRITE
from modelmill_trainer.evaluating.questions import model_request, put_prompt
from modelmill_trainer.teaching.request import TeachingRequest

NO_QUESTION = "no_question"
REFUSED = "refused"
UNFINISHED = "unfinished"
EMPTY = "empty"
"""Reasons for which a row is dropped."""


@dataclass(frozen=True)
class Dropped:
    """Reason why a row is dropped."""

    reason: str
    detail: str


@dataclass(frozen=True)
class TeacherRow:
    """A dataset row, identified by split and index."""

    split: str
    place: int
    row: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """Key of its answer."""
        return self.split, str(self.place), 0, WRITE

    @property
    def prompt(self) -> Prompt | None:
        """Messages before the last answer; None if the row does not end with an answer."""
        turns = self.row.get("messages")
        if not isinstance(turns, list) or len(turns) < 2 or turns[-1].get("role") != "assistant":
            return None
        return Prompt(turns=tuple(turns[:-1]), tools=tuple(self.row.get("tools") or ()))

    def answered(self, text: str, made_by: str) -> dict[str, Any]:
        """A copy of the row with another last answer."""
        turns = [*self.row["messages"][:-1], {"role": "assistant", "content": text}]
        return {**self.row, "messages": turns, "made_by": made_by}


@dataclass(frozen=True)
class TeacherQuestion:
    """A Generate request for one row, see `send_questions`."""

    key: Key
    request: GenerateRequest

    def as_json(self) -> dict[str, Any]:
        """Message to the parent process."""
        return model_request(WRITE, 0, self.request)


def teacher_question(row: TeacherRow, request: TeachingRequest) -> TeacherQuestion | None:
    """The request for a row; None if the row has no prompt."""
    if row.prompt is None:
        return None
    # Seeded by row, so that samples are independent and a retry repeats them.
    mark = f"{request.seed}/{row.split}/{row.place}".encode()
    options = SamplingOptions(
        max_new_tokens=request.max_new_tokens,
        temperature=request.temperature,
        seed=int.from_bytes(blake2b(mark, digest_size=8).digest(), "big"),
    )
    asked = GenerateRequest(options=options)
    put_prompt(asked, row.prompt)
    return TeacherQuestion(row.key, asked)


def accepted_answer(row: TeacherRow, answer: Mapping[str, Any] | None) -> str | Dropped:
    """The teacher's answer, or the reason why the row is dropped.

    Args:
        answer: Response of `ModelRequestHandler`; None if the row has no prompt.
    """
    if answer is None:
        return Dropped(NO_QUESTION, "the row does not end with an answer to a prompt")
    if answer["value"] is None:
        return Dropped(REFUSED, answer["refusal"])
    reason, text = answer["value"]["finish_reason"], answer["value"]["text"]
    if reason != "stop":
        return Dropped(UNFINISHED, f"the answer is incomplete: {reason}")
    if not text.strip():
        return Dropped(EMPTY, "the answer is empty")
    return str(text)
