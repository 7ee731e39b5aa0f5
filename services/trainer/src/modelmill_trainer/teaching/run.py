"""Child process that generates a teacher's answers and writes the rows by split."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from modelmill.inference.v1.inference_service_pb2 import GenerateRequest, SamplingOptions
from modelmill_jobs.child import ChildFailure, ChildPort

from modelmill_trainer.domain.child_requests import TeachingRequest
from modelmill_trainer.evaluating.items import WRITE, Prompt, read_rows
from modelmill_trainer.evaluating.questions import model_request, put_prompt
from modelmill_trainer.evaluating.send_questions import AnswerStore, Key, send_questions

NO_QUESTION = "no_question"
REFUSED = "refused"
UNFINISHED = "unfinished"
EMPTY = "empty"
"""Reasons for which a row is dropped."""
TAUGHT_SPLITS = ("train", "valid")
"""The test split keeps the dataset's answers, on which base and student are scored."""
DROPPED = "dropped"
"""Stem of the file that lists dropped rows with the reason."""
MADE_BY = "teacher_answer@1"


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


@dataclass
class _AnswerCounts:
    """Counts of kept and dropped rows."""

    kept: Counter[str] = field(default_factory=Counter)
    """By split."""
    dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    first_dropped: str = ""

    def drop(self, dropped: Dropped) -> None:
        self.dropped[dropped.reason] += 1
        self.first_dropped = self.first_dropped or dropped.detail


def teach(port: ChildPort) -> Mapping[str, Any]:
    """Query the teacher and write a dataset folder.

    Raises:
        ChildFailure: the teacher answers no row of the train split.
        Preempted: the job was asked to stop; answers so far are saved.
    """
    request = TeachingRequest.from_json(port.request)
    rows = _rows(request)
    answers = AnswerStore(port.folder / "teacher-answers", request.checkpoint_folder)
    questions = [
        question for row in rows if (question := teacher_question(row, request)) is not None
    ]
    send_questions(port, questions, answers, request.at_once, request.checkpoint_seconds)
    if answers.has_unsaved:
        # Training follows and may be interrupted; the answers must not be generated twice.
        port.checkpoint(answers.save(), len(answers))
    folder = port.folder / "taught"
    counts = _write(folder, rows, answers, request)
    if not counts.kept["train"]:
        raise ChildFailure(
            "TEACHER_SAYS_NOTHING",
            f"the teacher answers none of the train rows "
            f"({len(rows)} rows): {counts.first_dropped}",
            "Choose another teacher, a larger max_new_tokens, or rows that it can read.",
        )
    return {
        "folder": str(folder),
        "counts": {
            "teacher_version_id": request.teacher_version_id,
            "rows": dict(counts.kept),
            "dropped": dict(counts.dropped),
        },
    }


def _rows(request: TeachingRequest) -> list[TeacherRow]:
    rows = []
    for split in TAUGHT_SPLITS:
        for place, row in read_rows([request.dataset_folder / f"{split}.jsonl"]):
            rows.append(TeacherRow(split, place, row))
    return rows


def _write(
    folder: Path, rows: list[TeacherRow], answers: AnswerStore, request: TeachingRequest
) -> _AnswerCounts:
    folder.mkdir()
    counts = _AnswerCounts()
    shutil.copyfile(request.dataset_folder / "test.jsonl", folder / "test.jsonl")
    made_by = f"{MADE_BY} {request.teacher_version_id}"
    lines: dict[str, list[Mapping[str, Any]]] = {name: [] for name in (*TAUGHT_SPLITS, DROPPED)}
    for row in rows:
        answer = accepted_answer(row, answers.get(row.key))
        if isinstance(answer, Dropped):
            counts.drop(answer)
            where = {"split": row.split, "row": row.row.get("row", row.place + 1)}
            lines[DROPPED].append(where | {"reason": answer.reason, "detail": answer.detail})
        else:
            counts.kept[row.split] += 1
            lines[row.split].append(row.answered(answer, made_by))
    for name, written in lines.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in written)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    return counts
