"""What was decided about rows by looking at all of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "valid", "test")
"""A split's number is its place here."""

TRAIN, VALID, TEST = range(3)

KEPT, EXACT_DUPLICATE, NEAR_DUPLICATE, CONTAMINATED, TEST_LEAK = range(5)

DUPLICATE_RULES = EXACT_RULE, NEAR_RULE = "duplicates.exact", "duplicates.near"
"""Rules that take out rows which say what an earlier row says."""

GIVES_EVALUATION_AWAY, GIVES_TEST_AWAY = "duplicates.evaluation", "duplicates.test_split"
"""Rules that take out rows which give away what a model will be scored with."""

_WORDS = (
    ("", ""),
    (EXACT_RULE, "says the same as line {line}"),
    (NEAR_RULE, "nearly the same as line {line}"),
    (GIVES_EVALUATION_AWAY, "the same or nearly as line {line} of evaluation file {file}"),
    (GIVES_TEST_AWAY, "nearly the same as line {line}, which is in the test split"),
)
"""Rule and words for people, by verdict."""


def given_away(file: int | None) -> str:
    """What a row gives away, in words: an evaluation file, by its number from 0, or the dataset's
    own test split. The words of a row that does so (`Verdicts.details`) end with them."""
    return "test split" if file is None else f"evaluation file {file + 1}"


@dataclass(frozen=True)
class Verdicts:
    """Of some consecutive rows, in their order."""

    verdict: npt.NDArray[np.int8]
    """One of the numbers above."""
    other: npt.NDArray[np.int64]
    """The line that the words name; 0 for a row that stays."""
    file: npt.NDArray[np.int32]
    """The evaluation file that the words name, from 0."""
    split: npt.NDArray[np.int8]
    """Place in `SPLITS`; -1 for a row that does not stay."""

    def reasons(self) -> list[str | None]:
        """Of each row the rule that takes it out, or None."""
        return [_WORDS[verdict][0] or None for verdict in self.verdict.tolist()]

    def details(self) -> list[str | None]:
        """Of each row more about that."""
        parts = (self.verdict.tolist(), self.other.tolist(), self.file.tolist())
        return [
            _WORDS[verdict][1].format(line=line, file=file + 1) or None
            for verdict, line, file in zip(*parts, strict=True)
        ]
