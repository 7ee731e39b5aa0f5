"""No split of a text changes its verdict or leaks a blocked word: the library's functions.

`python -m tests.guard.exhaust` does the same for every text and every two cuts.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.stream import StreamGuard
from modelmill_guard.verdict import Direction, Released

from tests.guard.corpus.rows import Row, corpus, policy
from tests.guard.judged import LeakError, cut, expected, simple_cuts, streamed

ROWS = corpus()
SHARES = {Direction.OUTPUT: 3, Direction.INPUT: 8}
"""One text of so many is cut at every place; both directions run the same code."""


def hold(row: Row, pieces: list[str], direction: Direction = Direction.OUTPUT) -> None:
    shown, verdict = streamed(policy(), pieces, direction)
    expected(policy(), row.text, direction).hold(shown, verdict, pieces)


def test_one_character_at_a_time_is_judged_as_the_whole() -> None:
    for row in ROWS:
        hold(row, list(row.text))


@pytest.mark.tier("test")
@pytest.mark.parametrize("direction", list(Direction))
def test_no_cut_in_two_changes_what_comes_of_a_text(direction: Direction) -> None:
    for row in ROWS[:: SHARES[direction]]:
        wanted = expected(policy(), row.text, direction)
        for pieces in simple_cuts(row.text):
            shown, verdict = streamed(policy(), pieces, direction)
            wanted.hold(shown, verdict, pieces)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ROWS), st.data())
def test_neither_does_any_number_of_pieces(row: Row, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(row.text)), max_size=12))
    hold(row, cut(row.text, places))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(ROWS), min_size=2, max_size=4), st.data())
def test_texts_behind_each_other_are_one_text(rows: list[Row], data: st.DataObject) -> None:
    text = data.draw(st.sampled_from((" ", "", "\n"))).join(row.text for row in rows)
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    shown, verdict = streamed(policy(), cut(text, places), Direction.OUTPUT)
    expected(policy(), text, Direction.OUTPUT).hold(shown, verdict, places)


def test_a_word_that_was_found_is_found_where_it_stands() -> None:
    misplaced = []
    for row in ROWS:
        for match in policy().check(row.text, Direction.OUTPUT).matches:
            if match.rule_id == row.rule and not (
                row.start <= match.start and match.end <= row.end
            ):
                misplaced.append((row.text, row.start, row.end, match))
    assert misplaced == []


class _Leaky(StreamGuard):
    """Lets out one character too many where it blocks."""

    def push(self, text: str) -> Released:
        released = super().push(text)
        if released.verdict is not None and text:
            return Released(f"{released.text}z", released.verdict)
        return released


def test_a_guard_that_leaks_one_character_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Where is zorbium now?"
    wanted = expected(policy(), text, Direction.OUTPUT)
    monkeypatch.setattr("modelmill_guard.bundle.StreamGuard", _Leaky)
    shown, verdict = streamed(policy(), list(text), Direction.OUTPUT)

    with pytest.raises(LeakError, match="1 characters leaked"):
        wanted.hold(shown, verdict, "all")
