"""Every row of the source has a provenance record, and the record is true."""

import hashlib
import json
from typing import Any

import pytest
from data_prep_support.preparing import SPLITS, Dataset, prepare, questions
from hypothesis import given
from hypothesis import strategies as st

kinds = st.sampled_from(["good", "again", "bad", "half"])


def lines_of(row_kinds: list[str]) -> list[object]:
    rows: dict[str, Any] = {"again": {"q": "again", "a": "yes"}, "bad": b"{", "half": {"q": "x"}}
    return [rows.get(kind, {"q": f"q{n}", "a": "a"}) for n, kind in enumerate(row_kinds)]


def written(dataset: Dataset, record: dict[str, Any]) -> bytes:
    """The bytes that a record points at."""
    content = dataset.bytes[f"{record['split']}.jsonl"]
    return content[record["offset"] : record["offset"] + record["length"]]


@given(st.lists(kinds, max_size=30), st.integers(1, 10))
def test_each_source_row_has_one_provenance_record_that_points_at_it(
    row_kinds: list[str], block_rows: int
) -> None:
    lines = [*questions(3), *lines_of(row_kinds)]

    dataset = prepare(lines, block_rows=block_rows)

    assert [record["line"] for record in dataset.provenance] == list(range(1, len(lines) + 1))
    kept = [record for record in dataset.provenance if record["outcome"] == "kept"]
    assert len(kept) == dataset.counts["rows_kept"]
    for record in kept:
        row = json.loads(written(dataset, record))
        assert row == dataset.splits[record["split"]][record["position"]]
        assert (row["row"], row["source"]) == (record["line"], record["source"].hex())
        assert (
            hashlib.sha256(json.dumps(lines[row["row"] - 1]).encode()).hexdigest() == row["source"]
        )


def test_provenance_says_why_a_row_is_not_in_the_dataset() -> None:
    lines = [{"q": "Same?", "a": "yes"}, b"{oops", *questions(8), {"q": "ＳＡＭＥ？", "a": "Yes"}]

    provenance = {record["line"]: record for record in prepare(lines).provenance}

    assert (provenance[2]["outcome"], provenance[2]["detail"]) == ("quarantined", "not JSON")
    assert (provenance[11]["outcome"], provenance[11]["rule"]) == ("dropped", "duplicates.exact")
    assert provenance[11]["detail"] == "same content as line 1"
    assert provenance[2]["split"] is None


@pytest.mark.tier("test")
@pytest.mark.parametrize("block_rows", [1, 7, 1_000])
def test_blocks_and_processes_leave_no_trace_in_a_dataset(block_rows: int) -> None:
    lines = lines_of(["good", "again", "bad", "half", "good"] * 20)

    alone = prepare(lines)
    shared = prepare(lines, processes=2, block_rows=block_rows)

    assert shared.merkle_root == alone.merkle_root
    names = [f"{name}.jsonl" for name in (*SPLITS, "quarantine")]
    names += ["report.json", "report.html"]
    assert {name: shared.bytes[name] for name in names} == {n: alone.bytes[n] for n in names}
    assert shared.provenance == alone.provenance


def test_what_is_taken_out_of_rows_is_not_shown_of_dropped_ones_either() -> None:
    secret = "ada@corp-mail.cn"
    lines = [
        {"q": f"too short {secret}", "a": "ok"},
        b'{"q": "' + secret.encode() + b'", oops',
        {"q": secret},
        *(
            {"q": f"a question of some length, from {secret}, number {n}", "a": "ok"}
            for n in range(9)
        ),
    ]
    limits = {"thresholds": {"characters.min": 40}}

    dataset = prepare(lines, filter=limits, entities={"actions": {"email": "mask"}})
    kept = prepare(lines, filter=limits, entities={"actions": {"email": "report"}})

    shown = [row["raw"] for row in dataset.quarantine]
    assert shown == ['{"q": "[EMAIL]", oops', '{"q": "[EMAIL]"}']
    assert not [name for name, content in dataset.bytes.items() if secret.encode() in content]
    assert secret in kept.quarantine[0]["raw"]
