"""Dataset-wide decisions per row: duplicate, contaminated or kept, and the split."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modelmill_data_prep.domain.row_numbers import row_words

SPLITS = ("train", "valid", "test")
"""Split names; a split's number is its index."""

TRAIN, VALID, TEST = range(3)

KEPT, EXACT_DUPLICATE, NEAR_DUPLICATE, CONTAMINATED, TEST_LEAK = range(5)

DUPLICATE_RULES = EXACT_RULE, NEAR_RULE = "duplicates.exact", "duplicates.near"
"""Rules of duplicates."""

EVALUATION_LEAK_RULE, TEST_LEAK_RULE = "duplicates.evaluation", "duplicates.test_split"
"""Rules of rows that leak evaluation data."""

_WORDS = (
    ("", ""),
    (EXACT_RULE, "same content as {row}"),
    (NEAR_RULE, "nearly the same as {row}"),
    (EVALUATION_LEAK_RULE, "the same or nearly as {row} of evaluation file {file}"),
    (TEST_LEAK_RULE, "nearly the same as {row}, which is in the test split"),
)
"""Rule and human-readable detail, by verdict."""


def leaked_set(file: int | None) -> str:
    """What a row gives away, in words: an evaluation file, by its number from 0, or the dataset's
    own test split. The words of a row that does so (`RowDecisions.details`) end with them."""
    return "test split" if file is None else f"evaluation file {file + 1}"


@dataclass(frozen=True)
class RowDecisions:
    """Decisions about consecutive rows."""

    verdict: npt.NDArray[np.int8]
    """One of the verdict constants."""
    other: npt.NDArray[np.int64]
    """Number of the duplicate or leaked row; 0 for a kept row."""
    file: npt.NDArray[np.int32]
    """Number of the evaluation file, from 0."""
    split: npt.NDArray[np.int8]
    """Index in `SPLITS`; -1 for a removed row."""

    def reasons(self) -> list[str | None]:
        """Rule that removes each row, or None."""
        return [_WORDS[verdict][0] or None for verdict in self.verdict.tolist()]

    def details(self) -> list[str | None]:
        """Human-readable detail per row."""
        parts = (self.verdict.tolist(), self.other.tolist(), self.file.tolist())
        return [
            _WORDS[verdict][1].format(row=row_words(row), file=file + 1) or None
            for verdict, row, file in zip(*parts, strict=True)
        ]
