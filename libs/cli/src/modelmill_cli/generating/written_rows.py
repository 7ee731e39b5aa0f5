"""Rows that are kept of a journal, as JSON lines, and a sample of them for people."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from modelmill_cli.generating.grounding import fault_of, folded, grounding
from modelmill_cli.generating.prompts import pairs_in
from modelmill_cli.generating.source_passages import SourcePassage
from modelmill_cli.model_requests.answer_journal import JournalEntry


@dataclass(frozen=True)
class GroundedRow:
    question: str
    answer: str
    grounding: float
    passage: SourcePassage


@dataclass
class JudgedRows:
    """Pairs of all passages, judged in the order of the passages."""

    kept: list[GroundedRow] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    """How many pairs, by the word of their fault; `unread` are answers without a pair."""


def judge(
    answered: Iterable[tuple[SourcePassage, JournalEntry]], min_grounding: float
) -> JudgedRows:
    """Keep pairs that stand on their passages; of equal questions the first."""
    judged, seen = JudgedRows(), set[str]()
    for passage, entry in answered:
        pairs = pairs_in(entry.text)
        if not pairs:
            judged.rejected["unread"] += 1
        for question, answer in pairs:
            fault = fault_of(question, answer, passage.text, min_grounding)
            key = folded(question).rstrip("?？.。!！ ")
            if fault is None and key in seen:
                fault = "duplicate"
            if fault is not None:
                judged.rejected[fault] += 1
                continue
            seen.add(key)
            share = round(grounding(answer, passage.text), 3)
            judged.kept.append(GroundedRow(question, answer, share, passage))
    return judged


def write_rows(rows: Sequence[GroundedRow], output: Path, *, teacher: str, kind: str) -> None:
    """Write JSON lines of layout `openai_chat`, whole or not at all."""
    lines = (json.dumps(_row(row, teacher, kind), ensure_ascii=False) for row in rows)
    _replace(output, "".join(line + "\n" for line in lines))


def write_sample(rows: Sequence[GroundedRow], output: Path, *, count: int, seed: int) -> None:
    """Write some rows with their passages, drawn by the seed, as a text to read."""
    drawn = sorted(Random(seed).sample(range(len(rows)), min(count, len(rows))))
    parts = [f"{len(drawn)} of {len(rows)} rows, drawn with seed {seed}.\n"]
    for number, place in enumerate(drawn, start=1):
        row = rows[place]
        parts.append(
            f"\n{'=' * 80}\n{number}. row {place + 1}: {_place_words(row.passage)}"
            f" (grounding {row.grounding:.2f})\n\nQuestion: {row.question}\n\n"
            f"Answer: {row.answer}\n\nPassage:\n{row.passage.text}\n"
        )
    _replace(output, "".join(parts))


def _row(row: GroundedRow, teacher: str, kind: str) -> Mapping[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": row.question},
            {"role": "assistant", "content": row.answer},
        ],
        "kind": kind,
        "teacher": teacher,
        "grounding": row.grounding,
        "document": row.passage.place,
        "passage_sha256": row.passage.digest,
    }


def _place_words(passage: SourcePassage) -> str:
    page = f", page {passage.page}" if passage.page else ""
    section = f", {passage.section}" if passage.section else ""
    return f"{passage.file}{page}{section}, character {passage.offset:,}"


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.part")
    with partial.open("wb") as file:
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
