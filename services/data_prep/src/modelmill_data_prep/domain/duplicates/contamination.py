"""Rows that are not to be trained on, because a model will be scored with them.

A row of train or valid is contaminated if its first user turn compares as equal to that of an
evaluation row, or if it is near to an evaluation row or to a row of the dataset's own test split.
(Equal turns never face each other over the dataset's own splits.)
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.exact import KeyedOrdinals, run_starts
from modelmill_data_prep.domain.duplicates.near_store import Meeting, NearStore, Rows, agree
from modelmill_data_prep.domain.duplicates.ordinals import chunks, new_array
from modelmill_data_prep.domain.duplicates.row_keys import Keys
from modelmill_data_prep.domain.duplicates.signatures import Signatures
from modelmill_data_prep.domain.verdicts import TEST, TRAIN, VALID

MATCH = np.dtype([("file", np.int32), ("row", np.int64)])
"""What a row gives away: the number of the evaluation file and the line in it, or the dataset's
own test split (`OWN_TEST`) and the ordinal in it, or nothing (`NO_MATCH`, 0)."""

OWN_TEST = -1
NO_MATCH = -2

_COMPARED = 8
"""In a meeting each row is compared with so many evaluation rows, spread evenly over them."""


class EvaluationRows:
    """Rows that models are scored with, by their keys.

    Args:
        folder: A new folder, which is made.
        threshold: Estimated Jaccard similarity from which a row is near; 0 means equal rows only.
    """

    def __init__(self, folder: Path, threshold: float) -> None:
        self.threshold = threshold
        self.groups = KeyedOrdinals(folder / "groups")
        self.near = NearStore(folder / "near", [threshold])
        self._lines = folder / "lines"
        self._lines.touch()

    def add(
        self, file: int, lines: NDArray[np.int64], groups: Keys, signatures: Signatures | None
    ) -> None:
        """Take the next rows of an evaluation file.

        Args:
            file: Its number, from 0.
            lines: Of the file, one for each row.
            groups: As `row_keys` makes them, with the dataset's own seed.
            signatures: Of the rows; not needed when the threshold is 0.
        """
        first = self.groups.rows
        self.groups.add(groups, first)
        if self.threshold > 0 and signatures is not None:
            self.near.add(signatures, first)
        where = np.empty(len(lines), MATCH)
        where["file"], where["row"] = file, lines
        with self._lines.open("ab") as out:
            where.tofile(out)

    def places(self) -> NDArray[np.void]:
        """By ordinal among the evaluation rows: file and line."""
        if not self.groups.rows:
            return np.zeros(0, MATCH)
        return np.memmap(self._lines, MATCH, mode="r")


def contaminated_rows(
    evaluation: EvaluationRows,
    groups: KeyedOrdinals,
    near: NearStore | None,
    split: NDArray[np.int8],
    path: Path,
) -> NDArray[np.void]:
    """By ordinal a `MATCH`: what the row gives away; of rows in train and valid alone.

    Equal rows are named before near ones, and evaluation files before the own test split.

    Args:
        evaluation: All evaluation rows; none is allowed.
        groups: Those of the dataset's rows.
        near: Signatures of the dataset's rows; not needed when the threshold is 0.
        split: Of each row.
        path: A new file for the result.
    """
    matches: NDArray[np.void] = new_array(path, MATCH, len(split))
    for part in chunks(len(split)):
        matches["file"][part] = NO_MATCH
    _match_equal(evaluation, groups, split, matches)
    if evaluation.threshold > 0 and near is not None:
        _match_near(evaluation, near, split, matches)
    return matches


def _match_equal(
    evaluation: EvaluationRows,
    groups: KeyedOrdinals,
    split: NDArray[np.int8],
    matches: NDArray[np.void],
) -> None:
    """Name for each row the first evaluation row with the same first user turn."""
    if not evaluation.groups.rows:
        return
    places = evaluation.places()
    divisions = zip(
        evaluation.groups.records.partitions(), groups.records.partitions(), strict=True
    )
    for asked, rows in divisions:
        rows = rows[_trained_on(split, rows["ordinal"])]
        if not len(asked) or not len(rows):
            continue
        both = np.concatenate([asked, rows])
        is_row = np.arange(len(both)) >= len(asked)
        order = np.lexsort((both["ordinal"], is_row, both["low"], both["high"]))
        both, is_row = both[order], is_row[order]
        starts = run_starts(both)
        first = np.repeat(starts, np.diff(np.append(starts, len(both))))
        found = is_row & ~is_row[first]
        matches[both["ordinal"][found]] = places[both["ordinal"][first[found]]]


def _match_near(
    evaluation: EvaluationRows, near: NearStore, split: NDArray[np.int8], matches: NDArray[np.void]
) -> None:
    threshold = evaluation.threshold
    with near.signatures() as known, evaluation.near.signatures() as asked:
        _match_evaluation(evaluation, near, (known, asked), split, matches)
        for rows in near.meetings(threshold, near.divisions_together(threshold)):
            tested = split[rows[1]] == TEST
            for row, other in _near_pairs(rows, (rows[0][tested], rows[1][tested]), split, matches):
                found = agree(known, known, (row, other), threshold)
                matches["file"][row[found]] = OWN_TEST
                matches["row"][row[found]] = other[found]


def _match_evaluation(
    evaluation: EvaluationRows,
    near: NearStore,
    signatures: tuple[Rows, Rows],
    split: NDArray[np.int8],
    matches: NDArray[np.void],
) -> None:
    """Name for each row an evaluation row that it is near to; signatures of both sides."""
    places, threshold = evaluation.places(), evaluation.threshold
    together = near.divisions_together(threshold)
    both = (store.meetings(threshold, together) for store in (evaluation.near, near))
    for evaluated, rows in zip(*both, strict=True):
        for row, other in _near_pairs(rows, evaluated, split, matches):
            found = agree(*signatures, (row, other), threshold)
            matches[row[found]] = places[other[found]]


def _near_pairs(
    rows: Meeting, others: Meeting, split: NDArray[np.int8], matches: NDArray[np.void]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of a row without a match and one of the others that it meets."""
    begins = np.searchsorted(others[0], rows[0], side="left")
    counts = np.searchsorted(others[0], rows[0], side="right") - begins
    meets = (counts > 0) & _trained_on(split, rows[1])
    ordinals, begins, counts = rows[1][meets], begins[meets], counts[meets]
    for step in range(_COMPARED):
        still = (counts > step) & (matches["file"][ordinals] == NO_MATCH)
        ordinals, begins, counts = ordinals[still], begins[still], counts[still]
        if not len(ordinals):
            return
        spread = np.maximum(counts, _COMPARED) * step // _COMPARED
        yield ordinals, others[1][begins + spread]


def _trained_on(split: NDArray[np.int8], ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
    where = split[ordinals]
    trained: NDArray[np.bool_] = (where == TRAIN) | (where == VALID)
    return trained
