"""Child process that generates a teacher's answers and writes the rows by split."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure, ChildPort

from modelmill_trainer.evaluating.answer_store import AnswerStore
from modelmill_trainer.evaluating.row_files import read_rows
from modelmill_trainer.evaluating.send_questions import send_questions
from modelmill_trainer.teaching.request import TeachingRequest
from modelmill_trainer.teaching.teacher_rows import (
    Dropped,
    TeacherRow,
    accepted_answer,
    teacher_question,
)

TAUGHT_SPLITS = ("train", "valid")
"""The test split keeps the dataset's answers, on which base and student are scored."""
DROPPED = "dropped"
"""Stem of the file that lists dropped rows with the reason."""
MADE_BY = "teacher_answer@1"


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
