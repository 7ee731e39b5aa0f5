"""Rows with a teacher's answers: asked, judged and written, by split."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure, ChildPort

from modelmill_trainer.evaluating.answer_book import AnswerBook
from modelmill_trainer.evaluating.ask_all import ask_all
from modelmill_trainer.evaluating.row_files import read_rows
from modelmill_trainer.teaching.request import TeachingRequest
from modelmill_trainer.teaching.taught_rows import Dropped, TaughtRow, judged, question_of

TAUGHT_SPLITS = ("train", "valid")
"""The test split keeps the dataset's answers, by which base, teacher and student are judged."""
DROPPED = "dropped"
"""Name of the file that says which rows were left out, and why."""
MADE_BY = "teacher_answer@1"


@dataclass
class _Told:
    """What became of the rows."""

    kept: Counter[str] = field(default_factory=Counter)
    """By split."""
    dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    first_dropped: str = ""

    def drop(self, dropped: Dropped) -> None:
        self.dropped[dropped.reason] += 1
        self.first_dropped = self.first_dropped or dropped.detail


def teach(port: ChildPort) -> Mapping[str, Any]:
    """Ask, and leave a folder with the rows that are learned from.

    Raises:
        ChildFailure: the teacher answers no row of train.
        Preempted: told to stop; what was answered is saved.
    """
    request = TeachingRequest.from_json(port.request)
    rows = _rows(request)
    book = AnswerBook(port.folder / "teacher-answers", request.checkpoint_folder)
    questions = [question for row in rows if (question := question_of(row, request)) is not None]
    ask_all(port, questions, book, request.at_once, request.checkpoint_seconds)
    if book.has_unsaved:
        # Training comes next, and takes longer; it shall not have to ask again.
        port.checkpoint(book.save(), len(book))
    folder = port.folder / "taught"
    told = _write(folder, rows, book, request)
    if not told.kept["train"]:
        raise ChildFailure(
            "TEACHER_SAYS_NOTHING",
            f"of {len(rows)} rows the teacher answers none of train: {told.first_dropped}",
            "Choose another teacher, a larger max_new_tokens, or rows that it can read.",
        )
    return {
        "folder": str(folder),
        "told": {
            "teacher_version_id": request.teacher_version_id,
            "rows": dict(told.kept),
            "dropped": dict(told.dropped),
        },
    }


def _rows(request: TeachingRequest) -> list[TaughtRow]:
    rows = []
    for split in TAUGHT_SPLITS:
        for place, row in read_rows([request.dataset_folder / f"{split}.jsonl"]):
            rows.append(TaughtRow(split, place, row))
    return rows


def _write(
    folder: Path, rows: list[TaughtRow], book: AnswerBook, request: TeachingRequest
) -> _Told:
    folder.mkdir()
    told = _Told()
    shutil.copyfile(request.dataset_folder / "test.jsonl", folder / "test.jsonl")
    made_by = f"{MADE_BY} {request.teacher_version_id}"
    lines: dict[str, list[Mapping[str, Any]]] = {name: [] for name in (*TAUGHT_SPLITS, DROPPED)}
    for row in rows:
        said = judged(row, book.get(row.key))
        if isinstance(said, Dropped):
            told.drop(said)
            where = {"split": row.split, "row": row.row.get("row", row.place + 1)}
            lines[DROPPED].append(where | {"reason": said.reason, "detail": said.detail})
        else:
            told.kept[row.split] += 1
            lines[row.split].append(row.answered(said, made_by))
    for name, written in lines.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in written)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    return told
