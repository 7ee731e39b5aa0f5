"""Contamination check: finds train and valid rows that also occur in evaluation data.

A row is contaminated if its first user message equals that of an evaluation row, or if it is a near
duplicate of an evaluation row or of a row of the own test split. (Rows with equal first messages
are
never in different splits.)
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.disk_arrays import chunks, new_array
from modelmill_data_prep.domain.duplicates.exact import KeyedOrdinals, run_starts
from modelmill_data_prep.domain.duplicates.row_keys import Keys, Signatures
from modelmill_data_prep.domain.duplicates.signature_store import (
    BandGroups,
    Rows,
    SignatureStore,
    agree,
)
from modelmill_data_prep.domain.row_decisions import TEST, TRAIN, VALID

MATCH = np.dtype([("file", np.int32), ("row", np.int64)])
"""Match of a row: evaluation file number and line; or `OWN_TEST` and an ordinal; or `NO_MATCH` and
0."""

OWN_TEST = -1
NO_MATCH = -2

_COMPARED = 8
"""Evaluation rows that a row is compared with per band, evenly sampled."""


class EvaluationRows:
    """Keys of evaluation rows.

    Args:
        folder: Created here.
        threshold: Minimum Jaccard similarity of near duplicates; 0 for exact matches only.
    """

    def __init__(self, folder: Path, threshold: float) -> None:
        self.threshold = threshold
        self.groups = KeyedOrdinals(folder / "groups")
        self.near = SignatureStore(folder / "near", [threshold])
        self._lines = folder / "lines"
        self._lines.touch()

    def add(
        self, file: int, lines: NDArray[np.int64], groups: Keys, signatures: Signatures | None
    ) -> None:
        """Add rows of an evaluation file.

        Args:
            file: File number, from 0.
            lines: Line of each row.
            groups: Group keys of `row_keys` with the dataset's seed.
            signatures: MinHash signatures; unused if the threshold is 0.
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
        """File and line by ordinal among evaluation rows."""
        if not self.groups.rows:
            return np.zeros(0, MATCH)
        return np.memmap(self._lines, MATCH, mode="r")


def contaminated_rows(
    evaluation: EvaluationRows,
    groups: KeyedOrdinals,
    near: SignatureStore | None,
    split: NDArray[np.int8],
    path: Path,
) -> NDArray[np.void]:
    """`MATCH` by ordinal, for rows of train and valid.

    Exact matches take precedence over near ones, evaluation files over the own test split.


    Args:
        evaluation: All evaluation rows; may be empty.
        groups: Group keys of the dataset's rows.
        near: Signatures of the dataset's rows; unused if the threshold is 0.
        split: Split by ordinal.
        path: File for the result; created here.
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
    """Match each row with the first evaluation row that has the same first user message."""
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
    evaluation: EvaluationRows,
    near: SignatureStore,
    split: NDArray[np.int8],
    matches: NDArray[np.void],
) -> None:
    threshold = evaluation.threshold
    with near.signatures() as known, evaluation.near.signatures() as asked:
        _match_evaluation(evaluation, near, (known, asked), split, matches)
        for rows in near.band_groups(threshold, near.partitions_per_group(threshold)):
            tested = split[rows[1]] == TEST
            for row, other in _near_pairs(rows, (rows[0][tested], rows[1][tested]), split, matches):
                found = agree(known, known, (row, other), threshold)
                matches["file"][row[found]] = OWN_TEST
                matches["row"][row[found]] = other[found]


def _match_evaluation(
    evaluation: EvaluationRows,
    near: SignatureStore,
    signatures: tuple[Rows, Rows],
    split: NDArray[np.int8],
    matches: NDArray[np.void],
) -> None:
    """Match each row with an evaluation row that is a near duplicate."""
    places, threshold = evaluation.places(), evaluation.threshold
    together = near.partitions_per_group(threshold)
    both = (store.band_groups(threshold, together) for store in (evaluation.near, near))
    for evaluated, rows in zip(*both, strict=True):
        for row, other in _near_pairs(rows, evaluated, split, matches):
            found = agree(*signatures, (row, other), threshold)
            matches[row[found]] = places[other[found]]


def _near_pairs(
    rows: BandGroups, others: BandGroups, split: NDArray[np.int8], matches: NDArray[np.void]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Candidate pairs of an unmatched row and a row of `others` with the same band key."""
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
