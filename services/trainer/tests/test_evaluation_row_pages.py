"""Rows of an evaluation in pages: which match a filter, and where a page ends."""

import json
from typing import Any

import pytest
from modelmill_service_kit.errors import InvalidInputError
from modelmill_trainer.domain.evaluation_rows import PAGE_BYTES, RowFilter, is_right, rows_page


def side(answer: str | None, right: float | None = None, **more: Any) -> dict[str, Any]:
    scores = {} if right is None else {"accuracy": right}
    return {"answer": answer, "scores": scores, **more}


def line(number: int, model: dict[str, Any], **more: Any) -> bytes:
    row = {
        **{"suite": "dataset", "row": str(number), "prompt_sha256": "9f", "reference": "plant"},
        "model": model,
        **more,
    }
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


LINES = [
    line(1, side("plant", 1.0), compare_to=side("plant", 1.0), slices={"length": "0-9"}),
    line(2, side("Animal", 0.0), compare_to=side("plant", 1.0), slices={"length": "10-"}),
    line(3, side("stone", 0.0), compare_to=side("stone", 0.0), prompt="ÉTÉ", suite="task"),
    line(4, side(None, chosen="x"), compare_to=side(None, chosen="y"), slices={"length": "0-9"}),
]


def shown(after: int = 0, limit: int = 20, **wanted: Any) -> tuple[list[int], bool]:
    page = rows_page(LINES, after, limit, RowFilter(**wanted))
    return [number for number, _ in page.rows], page.has_more


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ({}, [1, 2, 3, 4]),
        ({"wrong": True}, [2, 3]),
        ({"differs": True}, [2, 4]),
        ({"wrong": True, "differs": True}, [2]),
        ({"text": "aNIMAL"}, [2]),
        ({"text": "été"}, [3]),
        ({"text": "y"}, [4]),
        ({"text": "plant"}, [1, 2, 3, 4]),
        ({"suite": "task"}, [3]),
        ({"suite": "other"}, []),
    ],
)
def test_a_filter_leaves_the_rows_to_which_all_of_it_applies(
    wanted: dict[str, Any], lines: list[int]
) -> None:
    assert shown(**wanted) == (lines, False)


def test_a_page_says_whether_another_row_matches_and_the_next_goes_on_behind_it() -> None:
    assert shown(limit=3) == ([1, 2, 3], True)
    assert shown(limit=4) == ([1, 2, 3, 4], False)
    assert shown(limit=1, wrong=True) == ([2], True)
    assert shown(after=2, limit=1, wrong=True) == ([3], False)
    assert shown(after=4) == ([], False)


def test_rows_of_a_group_are_those_with_its_label() -> None:
    lines = [each for each in LINES if b"slices" in each]
    page = rows_page(lines, 0, 20, RowFilter(slice_by="length", slice_value="0-9"))

    assert [row["row"] for _, row in page.rows] == ["1", "4"]


def test_a_slice_that_was_not_asked_for_is_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidInputError, match=r"no groups by 'topic'\. Evaluate again"):
        shown(slice_by="topic", slice_value="law")


def test_long_rows_make_a_page_shorter_and_the_longest_is_shown_alone() -> None:
    long = [line(n, side("x" * (PAGE_BYTES // 3))) for n in range(1, 7)]
    longest = [line(1, side("x" * PAGE_BYTES)), *LINES]

    assert [n for n, _ in rows_page(long, 0, 20, RowFilter()).rows] == [1, 2]
    first = rows_page(longest, 0, 20, RowFilter())
    assert ([n for n, _ in first.rows], first.has_more) == ([1], True)


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ({"accuracy": 1.0, "exact_match": 0.0}, True),
        ({"exact_match": 0.0}, False),
        ({"rouge1": 0.4, "bleu": 12.0}, None),
    ],
)
def test_a_row_is_right_by_accuracy_else_by_exact_match(
    scores: dict[str, float], right: bool | None
) -> None:
    assert is_right({"scores": scores}) is right
