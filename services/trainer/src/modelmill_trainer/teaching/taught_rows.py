"""One row, as a question to the teacher and with what the teacher says."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from modelmill.inference.v1.inference_service_pb2 import GenerateRequest, SamplingOptions

from modelmill_trainer.evaluating.answer_book import Key
from modelmill_trainer.evaluating.items import Prompt
from modelmill_trainer.evaluating.question_kinds import WRITE
from modelmill_trainer.evaluating.questions import asking, put_prompt
from modelmill_trainer.teaching.request import TeachingRequest

NO_QUESTION = "no_question"
REFUSED = "refused"
UNFINISHED = "unfinished"
EMPTY = "empty"
"""Why a row is left out."""


@dataclass(frozen=True)
class Dropped:
    """Why a row is not learned from."""

    reason: str
    detail: str


@dataclass(frozen=True)
class TaughtRow:
    """A row of a dataset, by its split and place there."""

    split: str
    place: int
    row: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """By which its answer is kept."""
        return self.split, str(self.place), 0, WRITE

    @property
    def prompt(self) -> Prompt | None:
        """What stands before its last answer; None where there is no such."""
        turns = self.row.get("messages")
        if not isinstance(turns, list) or len(turns) < 2 or turns[-1].get("role") != "assistant":
            return None
        return Prompt(turns=tuple(turns[:-1]), tools=tuple(self.row.get("tools") or ()))

    def answered(self, text: str, made_by: str) -> dict[str, Any]:
        """The row with another last answer."""
        turns = [*self.row["messages"][:-1], {"role": "assistant", "content": text}]
        return {**self.row, "messages": turns, "made_by": made_by}


@dataclass(frozen=True)
class Question:
    """A row put to the teacher, see `ask_all`."""

    key: Key
    request: GenerateRequest

    def as_json(self) -> dict[str, Any]:
        """As the job's parent takes it."""
        return asking(WRITE, 0, self.request)


def question_of(row: TaughtRow, request: TeachingRequest) -> Question | None:
    """What the teacher is asked; None where the row asks nothing."""
    if row.prompt is None:
        return None
    # By the row, so that each draws on its own and a repeat draws the same.
    mark = f"{request.seed}/{row.split}/{row.place}".encode()
    options = SamplingOptions(
        max_new_tokens=request.max_new_tokens,
        temperature=request.temperature,
        seed=int.from_bytes(blake2b(mark, digest_size=8).digest(), "big"),
    )
    asked = GenerateRequest(options=options)
    put_prompt(asked, row.prompt)
    return Question(row.key, asked)


def judged(row: TaughtRow, answer: Mapping[str, Any] | None) -> str | Dropped:
    """What the teacher says, or why the row is left out.

    Args:
        answer: As `modelmill_trainer.ask_models.OpenModels` gives it; None where nothing was asked.
    """
    if answer is None:
        return Dropped(NO_QUESTION, "its last turn is no answer to anything")
    if answer["value"] is None:
        return Dropped(REFUSED, answer["refusal"])
    reason, text = answer["value"]["finish_reason"], answer["value"]["text"]
    if reason != "stop":
        return Dropped(UNFINISHED, f"the answer has no end: {reason}")
    if not text.strip():
        return Dropped(EMPTY, "the answer is empty")
    return str(text)
