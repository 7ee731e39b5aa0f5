"""What was decided about rows by looking at all of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "valid", "test")
"""A split's number is its place here."""

KEPT = 0
VERDICTS = (
    ("", ""),
    ("duplicates.exact", "says the same as line {}"),
    ("duplicates.near", "nearly the same as line {}"),
    ("duplicates.contamination", "nearly the same as evaluation row {}"),
    ("duplicates.test_leak", "nearly the same as line {} of the test split"),
)
"""Rule and words for people, by the number of the verdict."""


@dataclass(frozen=True)
class Verdicts:
    """Of some consecutive rows, in their order."""

    verdict: npt.NDArray[np.int8]
    """Place in `VERDICTS`; 0 for a row that stays."""
    other: npt.NDArray[np.int64]
    """The line that the words name; 0 for a row that stays."""
    split: npt.NDArray[np.int8]
    """Place in `SPLITS`; -1 for a row that does not stay."""

    def reasons(self) -> list[str | None]:
        """Of each row the rule that takes it out, or None."""
        return [VERDICTS[verdict][0] or None for verdict in self.verdict.tolist()]

    def details(self) -> list[str | None]:
        """Of each row more about that."""
        pairs = zip(self.verdict.tolist(), self.other.tolist(), strict=True)
        return [VERDICTS[verdict][1].format(other) or None for verdict, other in pairs]
