"""Parts of batches by themselves: how lines are read, and how many requests are in flight."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_gateway.batches.answer_many import LONGEST_PAUSE_SECONDS, BatchPace
from modelmill_gateway.domain.batch_lines import MAX_ERRORS, MAX_LINES, body_of, read_lines

CHAT = "/v1/chat/completions"
LARGE = 1 << 20

TEXTS = st.text(max_size=20)
BODIES = st.dictionaries(TEXTS, TEXTS | st.integers() | st.none(), max_size=3).map(
    lambda rest: {k: v for k, v in rest.items() if k != "stream"} | {"model": "m"}
)


def line(custom_id: str, body: dict[str, Any]) -> bytes:
    request = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


@given(st.lists(BODIES, min_size=1, max_size=8), st.booleans())
def test_each_line_is_found_again_where_it_was_read(bodies: list[dict[str, Any]], blank: bool):
    rows = [line(f"n-{number}", body) for number, body in enumerate(bodies)]
    if blank:
        rows.insert(1, b"  \n")
    content = b"".join(rows)
    read = read_lines(content.splitlines(keepends=True), CHAT, LARGE)

    assert (read.wrong, len(read.lines)) == (0, len(bodies))
    for place, body in zip(read.lines, bodies, strict=True):
        again = body_of(content[place.start : place.start + place.length])
        assert json.loads(again) == body


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_bytes_bring_the_reader_down(rows: list[bytes]):
    read = read_lines(rows, CHAT, LARGE)

    assert read.lines == []
    assert read.wrong > 0


def test_errors_are_counted_beyond_those_that_are_told():
    rows = [line("right", {"model": "m"}), *[b"[]\n"] * (MAX_ERRORS + 7)]
    read = read_lines(rows, CHAT, LARGE)

    assert (read.wrong, len(read.errors)) == (MAX_ERRORS + 7, MAX_ERRORS)


def test_what_is_wrong_with_every_line_is_told_once():
    elsewhere = [line(f"n-{number}", {"model": "m"}) for number in range(MAX_ERRORS + 7)]
    elsewhere[3] = elsewhere[3].replace(b'"m"', b"1")
    read = read_lines(elsewhere, "/v1/embeddings", LARGE)

    assert [(error.param, error.line) for error in read.errors] == [("url", None), ("body", 4)]
    assert f"every line of {MAX_ERRORS + 7}" in read.errors[0].message
    assert read.wrong == 2


@pytest.mark.parametrize("right", [0, 2, 3])
def test_what_one_line_does_not_share_is_told_of_each_of_the_others(right: int):
    rows = [b"[]\n"] * 3
    rows.insert(right, line("right", {"model": "m"}))
    read = read_lines(rows, CHAT, LARGE)

    wrong = [number for number in range(1, 5) if number != right + 1]
    assert [error.line for error in read.errors] == wrong
    assert read.wrong == 3


def test_a_file_has_so_many_lines_and_a_line_so_many_bytes_and_no_more():
    row = line("x" * 8, {"model": "m"})
    many = (row.replace(b"xxxxxxxx", b"%08d" % number) for number in range(MAX_LINES + 1))

    assert read_lines([row], CHAT, len(row)).wrong == 0
    assert [error.code for error in read_lines([row], CHAT, len(row) - 1).errors] == [
        "line_too_long"
    ]
    assert [error.code for error in read_lines(many, CHAT, LARGE).errors] == ["too_many_requests"]
    assert [error.code for error in read_lines([], CHAT, LARGE).errors] == ["empty_file"]


def test_refusals_halve_what_is_in_flight_and_answers_bring_it_back():
    pace, now, seen = BatchPace(8), 0.0, []
    for _ in range(4):
        pace.refused(now, retry_after=0.0)
        seen.append(pace.allowed)
        now += pace.pause(now)

    assert seen == [4, 2, 1, 1]
    for _ in range(40):
        pace.answered()
    assert pace.allowed == 8


def test_what_was_in_flight_at_a_refusal_counts_once_with_it():
    pace = BatchPace(8)
    for _ in range(8):
        pace.refused(0.0, retry_after=2.0)

    assert pace.allowed == 4
    assert 2.0 <= pace.pause(0.0) <= 2.5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_a_pause_is_never_longer_than_a_minute_and_a_bit_and_one_request_always_may(
    waits: list[float],
):
    pace, now = BatchPace(3), 0.0
    for wait in waits:
        pace.refused(now, wait)
        assert 0 < pace.pause(now) <= LONGEST_PAUSE_SECONDS * 1.25
        assert pace.allowed >= 1
        now += pace.pause(now)
