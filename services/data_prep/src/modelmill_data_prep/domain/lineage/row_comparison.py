"""Row comparison: rows that two datasets share, and why each other row is in one alone.

Rows are compared by content, as multisets: a row that is twice in one and once in the other is
shared once. A row of one alone is looked up in the other by the bytes of its source row. Records
are partitioned on disk by hash, so that memory holds one of 128 partitions at a time.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.disk_arrays import (
    PartitionedRecords,
    chunks,
    new_array,
    release_pages,
)
from modelmill_data_prep.domain.row_decisions import SPLITS

HASH = "V32"
PLACES = np.dtype([("split", np.int8), ("offset", np.int64), ("length", np.int64)])
"""Where a kept row is: split, byte offset and length in its file."""
UNSHARED = np.dtype([("place", np.int64), ("reason", np.uint16), ("other", np.int64)])
"""A row of one dataset alone: its index, why, and the index of the other's row, or -1."""
_CONTENTS = np.dtype(
    [
        *(("content", HASH), ("source", HASH), ("place", np.int64)),
        *(("split", np.int8), ("is_made", np.bool_)),
    ]
)
_SOURCES = np.dtype([("source", HASH), ("reason", np.uint16), ("place", np.int64)])
_VERDICTS = np.dtype([("reason", np.uint16), ("other", np.int64)])

REASONS = ("", "absent", "repeated", "made", "changed")
"""Reasons before those that the rules give; their index is their code, and 0 is a shared row."""
ABSENT, REPEATED, MADE, CHANGED = range(1, 5)
NOWHERE = -1


@dataclass(frozen=True)
class RowComparison:
    """What two datasets have in common; each pair is of the first and the second."""

    rows: tuple[int, int]
    common: int
    moved: int
    """Common rows that are in another split of the second."""
    reasons: tuple[dict[str, int], dict[str, int]]
    """Rows of one alone, by reason."""
    names: list[str]
    """Reasons by code."""


def places_file(folder: Path, side: int) -> Path:
    """File of `PLACES`: one for each row of a side."""
    return folder / f"{side}.places"


def unshared_file(folder: Path, side: int) -> Path:
    """File of `UNSHARED`: one for each row that a side alone has, in source order."""
    return folder / f"{side}.unshared"


def compare_rows(
    first: Iterable[pa.RecordBatch], second: Iterable[pa.RecordBatch], folder: Path
) -> RowComparison:
    """Compare two datasets by their provenance records.

    Args:
        folder: Receives the files of both sides; `folder / "work"` is left to be deleted.
    """
    names = _ReasonNames()
    sides = [_Side(folder, number, names) for number in range(2)]
    for side, provenance in zip(sides, (first, second), strict=True):
        side.read(provenance)
    common, moved = _match(*sides)
    counts = []
    for side, other in (sides, sides[::-1]):
        side.look_up(other)
        counts.append(side.finish())
    by_name = [{names.all[code]: rows for code, rows in count.items()} for count in counts]
    return RowComparison(
        (sides[0].rows, sides[1].rows), common, moved, (by_name[0], by_name[1]), names.all
    )


class _ReasonNames:
    """Codes of reasons."""

    def __init__(self) -> None:
        self.all = list(REASONS)

    def codes(self, removed: pa.RecordBatch) -> NDArray[np.uint16]:
        """Code of the outcome and rule of each record."""
        rules = pc.fill_null(removed.column("rule"), "")
        names = pc.binary_join_element_wise(removed.column("outcome"), rules, " ")
        words = names.dictionary_encode()
        known = np.array([self._code(name) for name in words.dictionary.to_pylist()], np.uint16)
        codes: NDArray[np.uint16] = known[words.indices.to_numpy()]
        return codes

    def _code(self, name: str) -> int:
        if name not in self.all:
            self.all.append(name)
        return self.all.index(name)


class _Side:
    """Records of one dataset."""

    def __init__(self, folder: Path, number: int, names: _ReasonNames) -> None:
        work = folder / "work" / str(number)
        self._folder, self._number, self._names, self._work = folder, number, names, work
        self.rows = 0
        self.contents = PartitionedRecords(work / "contents", _CONTENTS)
        self.sources = PartitionedRecords(work / "sources", _SOURCES)
        self._unshared = PartitionedRecords(work / "unshared", _CONTENTS)
        self._verdicts = np.zeros(0, _VERDICTS)

    def read(self, provenance: Iterable[pa.RecordBatch]) -> None:
        """Partition all records."""
        with places_file(self._folder, self._number).open("xb") as places:
            for batch in provenance:
                is_kept = pc.is_valid(batch.column("split"))
                self._add_kept(batch.filter(is_kept), places)
                self._add_removed(batch.filter(pc.invert(is_kept)))
        self._verdicts = new_array(self._work / "verdicts", _VERDICTS, self.rows)

    def set_aside(self, records: NDArray[Any], is_repeated: NDArray[np.bool_]) -> None:
        """Note rows that the other does not have; those that are not repeated are looked up."""
        reasons = np.where(is_repeated, REPEATED, np.where(records["is_made"], MADE, ABSENT))
        self._verdicts["reason"][records["place"]] = reasons
        self._verdicts["other"][records["place"]] = NOWHERE
        open_ = records[reasons == ABSENT]
        self._unshared.add(_keys(open_["source"]), open_)

    def look_up(self, other: "_Side") -> None:
        """Find the source rows of rows that the other does not have among its source rows."""
        pairs = zip(self._unshared.partitions(), other.sources.partitions(), strict=True)
        for mine, theirs in pairs:
            if not len(mine) or not len(theirs):
                continue
            # A source row that is there twice may be kept once: kept has the lowest code.
            theirs = theirs[np.argsort(theirs["reason"], kind="stable")]
            ids = _ids(theirs["source"], mine["source"])
            known, at = np.unique(ids[: len(theirs)], return_index=True)
            sought = ids[len(theirs) :]
            spots = np.minimum(np.searchsorted(known, sought), len(known) - 1)
            is_there = known[spots] == sought
            found, places = theirs[at[spots[is_there]]], mine["place"][is_there]
            self._verdicts["reason"][places] = found["reason"]
            self._verdicts["other"][places] = found["place"]

    def finish(self) -> Counter[int]:
        """Write the rows that this side alone has; count them by code of their reason."""
        counts: Counter[int] = Counter()
        with unshared_file(self._folder, self._number).open("xb") as file:
            for part in chunks(self.rows):
                verdicts = self._verdicts[part]
                here = np.flatnonzero(verdicts["reason"])
                alone = np.empty(len(here), UNSHARED)
                alone["place"] = here + part.start
                for name in _VERDICTS.names or ():
                    alone[name] = verdicts[name][here]
                alone.tofile(file)
                codes, rows = np.unique(alone["reason"], return_counts=True)
                counts.update(dict(zip(codes.tolist(), rows.tolist(), strict=True)))
        release_pages(self._verdicts)
        return counts

    def _add_kept(self, kept: pa.RecordBatch, places: IO[bytes]) -> None:
        records = np.empty(kept.num_rows, _CONTENTS)
        content, source = (_hashes(kept.column(name)) for name in ("content", "source"))
        records["content"], records["source"] = content, source
        records["place"] = np.arange(self.rows, self.rows + kept.num_rows)
        splits = pc.index_in(kept.column("split"), pa.array(SPLITS)).to_numpy()
        records["split"] = splits
        records["is_made"] = pc.is_valid(kept.column("made_by")).to_numpy(zero_copy_only=False)
        self.contents.add(_keys(content), records)
        # A made row is of a source row whose own row is there, or was removed.
        given = records[~records["is_made"]]
        self._add_sources(given["source"], CHANGED, given["place"])
        located = np.empty(kept.num_rows, PLACES)
        located["split"] = splits
        for name in ("offset", "length"):
            located[name] = kept.column(name).to_numpy()
        located.tofile(places)
        self.rows += kept.num_rows

    def _add_removed(self, removed: pa.RecordBatch) -> None:
        self._add_sources(_hashes(removed.column("source")), self._names.codes(removed), NOWHERE)

    def _add_sources(self, sources: NDArray[np.void], reason: Any, place: Any) -> None:
        records = np.empty(len(sources), _SOURCES)
        records["source"], records["reason"], records["place"] = sources, reason, place
        self.sources.add(_keys(sources), records)


def _match(first: _Side, second: _Side) -> tuple[int, int]:
    """Number of common rows, and of those in another split; sets the others aside."""
    common = moved = 0
    for old, new in zip(first.contents.partitions(), second.contents.partitions(), strict=True):
        ids = _ids(old["content"], new["content"])
        old_ids, new_ids = ids[: len(old)], ids[len(old) :]
        # Labels are equal for the nth occurrences of equal content.
        count = len(ids) + 1
        labels = old_ids + _times(old_ids) * count, new_ids + _times(new_ids) * count
        _, at_old, at_new = np.intersect1d(*labels, assume_unique=True, return_indices=True)
        common += len(at_old)
        moved += int(np.count_nonzero(old["split"][at_old] != new["split"][at_new]))
        for side, records, matched, own, others in (
            (first, old, at_old, old_ids, new_ids),
            (second, new, at_new, new_ids, old_ids),
        ):
            is_alone = np.ones(len(records), np.bool_)
            is_alone[matched] = False
            side.set_aside(records[is_alone], np.isin(own[is_alone], others))
    return common, moved


def _ids(first: NDArray[np.void], second: NDArray[np.void]) -> NDArray[np.int64]:
    """Numbers that are equal where the hashes are, of the first and then the second."""
    _, ids = np.unique(np.concatenate([first, second]), return_inverse=True)
    return ids.astype(np.int64)


def _times(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of earlier occurrences of each value."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else ordered
    runs = np.diff(np.r_[starts, len(ordered)])
    times = np.empty(len(values), np.int64)
    times[order] = np.arange(len(values)) - np.repeat(starts, runs)
    return times


def _hashes(column: pa.Array) -> NDArray[np.void]:
    """Non-null sha256 hashes."""
    if not len(column):
        return np.empty(0, HASH)
    return np.frombuffer(column.buffers()[1], HASH, len(column), column.offset * 32)


def _keys(hashes: NDArray[np.void]) -> NDArray[np.uint64]:
    """The leading 64 bits."""
    words = np.ascontiguousarray(hashes).view(">u8").reshape(-1, 4)
    return words[:, 0].astype(np.uint64)
