"""Stored comparisons: two datasets, whose bytes never change, are compared once and read in pages.

Runs in the inspector's child. What is stored has numbers alone, and no texts of rows; it lies in a
`ComparisonFolder`.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from modelmill_service_kit.errors import InvalidInputError
from numpy.typing import NDArray

from modelmill_data_prep.comparison_folder import ComparisonFolder
from modelmill_data_prep.domain.lineage.row_comparison import (
    NOWHERE,
    PLACES,
    UNSHARED,
    compare_rows,
    places_file,
    unshared_file,
)
from modelmill_data_prep.domain.lineage.row_provenance import KeptRow, ProvenanceFile
from modelmill_data_prep.domain.provenance_file import PROVENANCE_FILE
from modelmill_data_prep.domain.row_decisions import SPLITS
from modelmill_data_prep.row_lengths import measure_rows
from modelmill_data_prep.shown_rows import read_row, that_fit

SUMMARY = "summary.json"
BYTES_A_ROW = 300
"""Disk that a row of a source takes while datasets are compared."""
LABEL_CHARACTERS = 200
"""Longer answers are texts, and no labels."""


@dataclass(frozen=True)
class DatasetFiles:
    """Files of a dataset."""

    digest: str
    folder: Path

    @property
    def report(self) -> dict[str, Any]:
        """The dataset's report."""
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_bytes())
        return found

    def row_at(self, place: Any) -> str:
        """The row at one of `PLACES`, as JSON."""
        split, offset, length = place.tolist()
        return read_row(self.folder, KeptRow(SPLITS[split], offset, length))


class StoredComparison:
    """The comparison of two datasets.

    Args:
        folder: What is stored of it.
        files: The datasets, in the order of the question.
        sides: Their numbers in the folder.
    """

    def __init__(self, folder: Path, files: Sequence[DatasetFiles], sides: tuple[int, int]) -> None:
        self._folder = folder
        self._files = files
        self._sides = sides
        self._summary: dict[str, Any] = json.loads((folder / SUMMARY).read_bytes())

    def whole(self) -> dict[str, Any]:
        """All but single rows, as fields of `CompareDatasetsResponse`."""
        reports = [each.report for each in self._files]
        reasons = self._both("reasons")
        return {
            "rows_common": self._summary["common"],
            "rows_moved": self._summary["moved"],
            **{name: self._side(at) for at, name in enumerate(("first", "second"))},
            "counts": _pairs([each["counts"] for each in reports], is_sorted=False),
            "unshared": _pairs(reasons),
            "removed": _pairs([_removed(each) for each in reports]),
            "languages": _pairs([each["languages"] for each in reports]),
            "labels": _pairs(_labels(reports)),
            "entities": _pairs([each.get("entities", {}) for each in reports]),
        }

    def difference(self, samples: int) -> dict[str, Any]:
        """Counts and samples, as fields of `DiffDatasetsResponse`."""
        removed, added = (sum(each.values()) for each in self._both("reasons"))
        shown = [self._rows(at, 0, samples) for at in range(2)]
        return {
            "rows_common": self._summary["common"],
            "rows_moved": self._summary["moved"],
            "rows_removed": removed,
            "rows_added": added,
            "removed": [row["row_json"] for row in shown[0]],
            "added": [row["row_json"] for row in shown[1]],
        }

    def page(self, after: int, limit: int) -> dict[str, Any]:
        """Rows of the first alone, as fields of `ListUnsharedRowsResponse`."""
        rows = self._rows(0, after, limit, with_other=True)
        total = sum(self._both("reasons")[0].values())
        return {"rows": rows, "has_more": after + len(rows) < total}

    def _both(self, name: str) -> list[Any]:
        return [self._summary[name][side] for side in self._sides]

    def _side(self, at: int) -> dict[str, Any]:
        return {
            "digest": self._files[at].digest,
            "rows": self._both("rows")[at],
            "rows_unshared": sum(self._both("reasons")[at].values()),
            **self._both("lengths")[at],
        }

    def _rows(
        self, at: int, after: int, limit: int, *, with_other: bool = False
    ) -> list[dict[str, Any]]:
        side = self._sides[at]
        alone = _records(unshared_file(self._folder, side), UNSHARED)[after : after + limit]
        own, others = (self._places(number) for number in (side, 1 - side))
        count = that_fit(self._sizes(alone, own, others, with_other=with_other))
        rows = []
        for number, each in enumerate(alone[:count], start=after + 1):
            row = {
                "number": number,
                "because": self._summary["names"][each["reason"]],
                "row_json": self._files[at].row_at(own[each["place"]]),
            }
            if with_other and each["other"] != NOWHERE:
                row["other_row_json"] = self._files[1 - at].row_at(others[each["other"]])
            rows.append(row)
        return rows

    def _places(self, side: int) -> NDArray[Any]:
        return _records(places_file(self._folder, side), PLACES)

    def _sizes(
        self,
        alone: NDArray[Any],
        own: NDArray[Any],
        others: NDArray[Any],
        *,
        with_other: bool,
    ) -> Iterator[int]:
        for each in alone:
            has_other = with_other and each["other"] != NOWHERE
            other = int(others[each["other"]]["length"]) if has_other else 0
            yield int(own[each["place"]]["length"]) + other


def stored_comparison(
    stored: ComparisonFolder, tenant: str, first: DatasetFiles, second: DatasetFiles
) -> StoredComparison:
    """The comparison of two datasets, made where it is not stored.

    Args:
        tenant: Who asks, and with whom it is erased.

    Raises:
        InvalidInputError: The disk has too little free.
    """
    asked = [first, second]
    ordered = sorted(asked, key=lambda each: each.digest)
    folder = stored.of(tenant, [each.digest for each in ordered])
    if not (folder / SUMMARY).is_file():
        _make(stored.begin(folder), folder, ordered)
        stored.remove_oldest()
    os.utime(folder)
    return StoredComparison(folder, asked, (0, 1) if ordered == asked else (1, 0))


def _make(partial: Path, folder: Path, files: Sequence[DatasetFiles]) -> None:
    _check_disk(partial, files)
    first, second = (ProvenanceFile(each.folder / PROVENANCE_FILE).batches() for each in files)
    found = compare_rows(first, second, partial)
    shutil.rmtree(partial / "work")
    places = [_records(places_file(partial, side), PLACES) for side in range(2)]
    lengths = [measure_rows(each.folder, at) for each, at in zip(files, places, strict=True)]
    summary = {
        "rows": found.rows,
        "common": found.common,
        "moved": found.moved,
        "reasons": found.reasons,
        "names": found.names,
        "lengths": lengths,
    }
    (partial / SUMMARY).write_text(json.dumps(summary))
    partial.rename(folder)


def _check_disk(folder: Path, files: Sequence[DatasetFiles]) -> None:
    rows = sum(int(each.report["counts"]["rows_in"]) for each in files)
    needed = rows * BYTES_A_ROW
    if shutil.disk_usage(folder).free < needed:
        raise InvalidInputError(
            f"comparing datasets of {rows:,} source rows takes {needed // 10**6:,} MB of the disk"
            " of data-prep, which has less. Free some, or compare smaller ones"
        )


def _records(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Records of a file, mapped into memory."""
    rows = path.stat().st_size // dtype.itemsize
    if not rows:
        return np.empty(0, dtype)
    records: NDArray[Any] = np.memmap(path, dtype, mode="r", shape=(rows,))
    return records


def _removed(report: Mapping[str, Any]) -> dict[str, int]:
    """Removed rows by outcome and rule."""
    outcomes = report["rules"].items()
    return {f"{outcome} {rule}": rows for outcome, by in outcomes for rule, rows in by.items()}


def _labels(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, int]]:
    """Rows by answer; none unless both datasets choose among few short ones."""
    found: list[dict[str, int]] = [each.get("choices") or {} for each in reports]
    are_labels = all(found) and all(len(name) <= LABEL_CHARACTERS for by in found for name in by)
    return found if are_labels else [{}, {}]


def _pairs(counts: Sequence[Mapping[str, int]], *, is_sorted: bool = True) -> list[dict[str, Any]]:
    """Counts of both by name, the largest first."""
    first, second = counts
    names = list(dict.fromkeys([*first, *second]))
    if is_sorted:
        names.sort(key=lambda name: (-max(first.get(name, 0), second.get(name, 0)), name))
    return [
        {"name": each, "first": first.get(each, 0), "second": second.get(each, 0)} for each in names
    ]
