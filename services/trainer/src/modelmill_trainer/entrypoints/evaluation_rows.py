"""Rows of an evaluation as messages."""

from collections.abc import Mapping
from typing import Any

from modelmill.trainer.v1 import evaluation_pb2 as pb

from modelmill_trainer.domain.evaluation_rows import RowFilter, RowPage, is_right

PRESENT = ("answer", "chosen", "log_likelihood", "tokens", "choice_scores")
"""Fields of an answer that a line may lack, or have as null."""


def filter_of(message: pb.EvaluationRowFilter) -> RowFilter:
    """Which rows are asked for."""
    return RowFilter(
        suite=message.suite,
        wrong=message.wrong,
        differs=message.differs,
        text=message.text,
        slice_by=message.slice_by,
        slice_value=message.slice_value,
    )


def page_message(page: RowPage) -> pb.ListEvaluationRowsResponse:
    """Some rows."""
    rows = [_row(line, row) for line, row in page.rows]
    return pb.ListEvaluationRowsResponse(rows=rows, has_more=page.has_more)


def _row(line: int, row: Mapping[str, Any]) -> pb.EvaluationRow:
    other = row.get("compare_to")
    return pb.EvaluationRow(
        line=line,
        suite=row["suite"],
        row=row["row"],
        prompt_sha256=row["prompt_sha256"],
        prompt=row.get("prompt"),
        reference=row["reference"],
        slices=row.get("slices"),
        model=_answer(row["model"]),
        compare_to=None if other is None else _answer(other),
    )


def _answer(answer: Mapping[str, Any]) -> pb.EvaluationAnswer:
    present = {name: answer.get(name) for name in PRESENT}
    return pb.EvaluationAnswer(**present, scores=answer["scores"], is_right=is_right(answer))
