"""A trace is complete when nothing in it hangs loose and nothing is left out."""

import json

import pytest
from modelmill_testkit.trace_edges import Edge, count_complete, read_spans

CALLER = "caller"
EDGES = (Edge("gateway", "moderation", "Check"),)


def span(service: str, name: str, span_id: str, parent: str) -> dict[str, str]:
    return {"service": service, "name": name, "trace": "t", "span": span_id, "parent": parent}


WHOLE = [
    span("gateway", "POST /chat", "1", CALLER),
    span("gateway", "Check", "2", "1"),
    span("moderation", "Check", "3", "2"),
]


def test_a_trace_with_every_parent_and_every_edge_is_complete():
    count = count_complete(WHOLE, {"t": CALLER}, EDGES)
    assert (count.complete, count.of, count.faults) == (1, 1, {})


@pytest.mark.parametrize(
    ("left_out", "fault"),
    [
        ("1", "gateway Check: its parent is missing"),
        ("2", "moderation Check: its parent is missing"),
        ("3", "no moderation Check below gateway"),
    ],
)
def test_each_span_that_did_not_arrive_is_missed(left_out, fault):
    spans = [each for each in WHOLE if each["span"] != left_out]
    count = count_complete(spans, {"t": CALLER}, EDGES)
    assert count.complete == 0
    assert fault in count.faults["t"]


def test_a_second_entry_below_the_caller_and_a_trace_without_spans_are_faults():
    twice = [*WHOLE, span("gateway", "POST /chat", "4", CALLER)]
    count = count_complete(twice, {"t": CALLER, "never seen": CALLER}, EDGES)
    assert (count.complete, count.of) == (0, 2)
    assert str(count) == "0 of 2 traces are complete"


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path):
    file = tmp_path / "spans.jsonl"
    assert read_spans(file) == []
    file.write_text(json.dumps(WHOLE[0]) + '\n{"service": "gate')
    assert read_spans(file) == [WHOLE[0]]
