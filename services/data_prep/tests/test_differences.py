"""What two datasets do not have in common is found by what rows say, not by where they stand."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
from data_prep_support.preparing import prepare, questions
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.lineage.row_provenance import PROVENANCE, Difference, difference
from modelmill_data_prep.inspector_child import SHOWN_BYTES, dataset_difference

rows = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["train", "test"])))


def provenance_of(kept: list[tuple[str, str]]) -> list[pa.RecordBatch]:
    """Two batches of records, and a dropped row among them."""
    provenance: list[dict[str, Any]] = [
        {
            "line": place,
            "source": bytes(32),
            "outcome": "kept",
            "changes": [],
            "split": split,
            "position": 0,
            "offset": place * 10,
            "length": 10,
            "content": says.encode() * 32,
        }
        for place, (says, split) in enumerate(kept)
    ]
    provenance.insert(1, {"line": 9, "source": bytes(32), "outcome": "dropped", "changes": []})
    half = len(provenance) // 2
    parts = provenance[:half], provenance[half:]
    return [pa.RecordBatch.from_pylist(part, schema=PROVENANCE) for part in parts]


def compared(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> Difference:
    return difference(provenance_of(old), provenance_of(new), samples=3)


@given(rows, rows)
def test_rows_are_counted_as_often_as_they_are_there(
    old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> None:
    found = compared(old, new)

    before, after = Counter(says for says, _ in old), Counter(says for says, _ in new)
    assert found.common == (before & after).total()
    assert found.removed == (before - after).total() == len(old) - found.common
    assert found.added == (after - before).total() == len(new) - found.common
    assert len(found.removed_samples) == min(found.removed, 3)
    says = {place * 10: text for place, (text, _) in enumerate(new)}
    assert Counter(says[row.offset] for row in found.added_samples) <= after - before


@given(rows)
def test_a_dataset_is_like_itself_in_any_order(kept: list[tuple[str, str]]) -> None:
    found = compared(kept, kept)

    assert (found.common, found.moved, found.removed, found.added) == (len(kept), 0, 0, 0)


def test_samples_of_large_rows_fit_in_one_message() -> None:
    large = [{"q": f"{n} {'x' * 9_000}", "a": "y"} for n in range(300)]
    found: dict[str, Any] = {}

    def compare_with_small_ones(first: Path) -> None:
        prepare(
            questions(9),
            look=lambda second: found.update(dataset_difference(first, second, samples=300)),
        )

    prepare(large, look=compare_with_small_ones)

    assert (found["rows_removed"], found["rows_added"], len(found["added"])) == (300, 9, 9)
    assert SHOWN_BYTES - 10_000 < sum(map(len, found["removed"])) <= SHOWN_BYTES


def test_a_row_in_another_split_has_moved() -> None:
    found = compared([("a", "train"), ("b", "train")], [("b", "train"), ("a", "test")])

    assert (found.common, found.moved) == (2, 1)
