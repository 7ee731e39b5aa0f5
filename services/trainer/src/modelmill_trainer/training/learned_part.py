"""What of a row an objective learns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelmill_jobs.child import ChildFailure

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import ANSWERS, DPO, PREFERENCES, TEXT
from modelmill_trainer.training.packs import Example

LISTED_ROWS = 20
"""Row numbers named in an error; the rest is counted."""


@dataclass(frozen=True)
class LearnedPart:
    """Turns a row as the dataset has it into one as the objective reads it."""

    objective: str = ANSWERS
    last_turn_only: bool = False

    @classmethod
    def by(cls, choices: HyperParameters) -> "LearnedPart":
        """That of a run."""
        return cls(choices.objective, choices.last_turn_only)

    @property
    def keeps_pairs(self) -> bool:
        """Whether the worse answer of a pair is read too."""
        return self.objective in PREFERENCES

    @property
    def needs_pairs(self) -> bool:
        """Whether a row without a worse answer says nothing."""
        return self.objective == DPO

    def of(self, example: Example) -> Example:
        """The row with the spans that are learned, and a worse answer only where it is read."""
        if self.keeps_pairs:
            return replace(example, spans=example.spans[-1:])
        if self.objective == TEXT:
            return Example(example.ids, ((1, len(example.ids)),))
        spans = example.spans[-1:] if self.last_turn_only else example.spans
        return Example(example.ids, spans)


def not_pairs(rows: Sequence[int], *, split: str) -> ChildFailure:
    """What is said of rows without a rejected answer where one is needed."""
    return ChildFailure(
        "NOT_PREFERENCES",
        f"{len(rows)} rows of {split} have no rejected answer: {named_rows(rows)}",
        'Objective dpo learns from pairs: map the file with layout "preference", or use kto.',
    )


def named_rows(rows: Sequence[int]) -> str:
    """The first of them, and how many more there are."""
    named = ", ".join(map(str, rows[:LISTED_ROWS]))
    return f"{named} and {len(rows) - LISTED_ROWS} more" if len(rows) > LISTED_ROWS else named
