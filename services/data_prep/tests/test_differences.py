"""What two datasets do not have in common is found by what rows say, not by where they stand."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.duplicates import disk_arrays
from modelmill_data_prep.domain.lineage.row_comparison import (
    NOWHERE,
    PLACES,
    UNSHARED,
    RowComparison,
    compare_rows,
    places_file,
    unshared_file,
)
from modelmill_data_prep.domain.lineage.row_provenance import PROVENANCE

rows = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["train", "test"])))
contents = st.sets(st.integers(0, 60))


def record(source: int, says: int, split: str = "train", **changes: Any) -> dict[str, Any]:
    """A kept row of a source row."""
    return {
        "line": source,
        "source": hashed(source),
        "outcome": "kept",
        "changes": [],
        "split": split,
        "position": 0,
        "offset": source * 10,
        "length": 10,
        "content": hashed(says),
    } | changes


def removed(source: int, rule: str, outcome: str = "dropped") -> dict[str, Any]:
    """A source row that is in no split."""
    fields = {"line": source, "source": hashed(source), "outcome": outcome, "rule": rule}
    return {**fields, "changes": []}


def hashed(number: int) -> bytes:
    # The partition is of the first byte, and equal first words are no equal hashes.
    return bytes([number * 4 % 256, *bytes(27), *number.to_bytes(4, "big")])


def batches(records: list[dict[str, Any]]) -> list[pa.RecordBatch]:
    half = len(records) // 2
    parts = records[:half], records[half:]
    return [pa.RecordBatch.from_pylist(part, schema=PROVENANCE) for part in parts]


class Compared:
    """A comparison and the rows that each side alone has."""

    def __init__(self, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
        with TemporaryDirectory() as root:
            folder = Path(root)
            self.found: RowComparison = compare_rows(batches(first), batches(second), folder)
            self.alone = [np.fromfile(unshared_file(folder, side), UNSHARED) for side in (0, 1)]
            self.places = [np.fromfile(places_file(folder, side), PLACES) for side in (0, 1)]

    def reasons(self, side: int) -> list[tuple[int, str, int | None]]:
        """Source, reason, and source of the other's row, of each row that a side alone has."""
        return [
            (
                self._source(side, each["place"]),
                self.found.names[each["reason"]],
                None if each["other"] == NOWHERE else self._source(1 - side, each["other"]),
            )
            for each in self.alone[side]
        ]

    def _source(self, side: int, place: int) -> int:
        return int(self.places[side][place]["offset"]) // 10


def kept(texts: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [record(place, ord(says), split) for place, (says, split) in enumerate(texts)]


@given(rows, rows)
def test_rows_are_counted_as_often_as_they_are_there(
    old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> None:
    compared = Compared(kept(old), kept(new))

    before, after = Counter(says for says, _ in old), Counter(says for says, _ in new)
    assert compared.found.common == (before & after).total()
    for side, texts, other in ((0, old, after), (1, new, before)):
        alone = Counter(texts[source][0] for source, _, _ in compared.reasons(side))
        assert alone == Counter(says for says, _ in texts) - other
        assert sum(compared.found.reasons[side].values()) == alone.total()
        assert compared.found.rows[side] == len(texts)


@given(contents, contents, contents)
def test_planted_rows_are_found_on_the_side_that_has_them(
    both: set[int], only_first: set[int], only_second: set[int]
) -> None:
    one, two = only_first - both, only_second - both - only_first
    first = [record(source, source) for source in sorted(both | one)]
    second = [record(source, source) for source in sorted(both | two, reverse=True)]

    compared = Compared(first, second)

    assert compared.found.common == len(both)
    assert [source for source, _, _ in compared.reasons(0)] == sorted(one)
    assert [source for source, _, _ in compared.reasons(1)] == sorted(two, reverse=True)
    assert {reason for _, reason, _ in compared.reasons(0)} <= {"absent"}


@given(rows)
def test_a_dataset_is_like_itself_in_any_order(texts: list[tuple[str, str]]) -> None:
    found = Compared(kept(texts), kept(texts)).found

    assert (found.common, found.moved, found.reasons) == (len(texts), 0, ({}, {}))


def test_a_row_in_another_split_has_moved() -> None:
    old, new = [("a", "train"), ("b", "train")], [("b", "train"), ("a", "test")]
    found = Compared(kept(old), kept(new)).found

    assert (found.common, found.moved) == (2, 1)


def test_a_row_of_one_alone_tells_what_the_other_made_of_its_source_row() -> None:
    first = [record(source, source) for source in range(8)]
    first += [record(6, 99, made_by="synonyms@1"), record(0, 0)]
    second = [
        record(0, 0),
        record(1, 101),
        removed(2, "filter.characters.min"),
        removed(3, "read.not_json", "quarantined"),
        removed(4, "duplicates.exact"),
        record(4, 104),
        record(6, 6),
        removed(7, "filter.characters.min"),
        record(7, 107, made_by="synonyms@1"),
    ]

    compared = Compared(first, second)

    assert compared.reasons(0) == [
        (1, "changed", 1),
        (2, "dropped filter.characters.min", None),
        (3, "quarantined read.not_json", None),
        (4, "changed", 4),
        (5, "absent", None),
        (7, "dropped filter.characters.min", None),  # what is made of it does not stand for it
        (6, "made", None),
        (0, "repeated", None),
    ]
    assert compared.reasons(1) == [(1, "changed", 1), (4, "changed", 4), (7, "made", None)]
    assert compared.found.reasons[1] == {"changed": 2, "made": 1}


def test_records_that_are_on_the_disk_are_compared_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    first = [record(source, source) for source in range(0, 300)]
    second = [record(source, source) for source in range(100, 400)]
    in_memory = Compared(first, second)
    # The default of an argument is bound at the definition.
    defaults = disk_arrays.PartitionedRecords.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "buffer_bytes", 1)

    on_disk = Compared(first, second)

    assert on_disk.found == in_memory.found
    assert on_disk.reasons(0) == in_memory.reasons(0) == [(n, "absent", None) for n in range(100)]
