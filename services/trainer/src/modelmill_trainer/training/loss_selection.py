"""Selects the tokens of a row that the loss covers, by objective."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelmill_jobs.child import ChildFailure

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import ANSWERS, DPO, PREFERENCES, TEXT
from modelmill_trainer.training.packs import TrainingExample

LISTED_ROWS = 20
"""Maximum row numbers listed in an error message."""


@dataclass(frozen=True)
class LossSelection:
    """Converts a dataset row to the spans and answers that an objective uses."""

    objective: str = ANSWERS
    last_turn_only: bool = False

    @classmethod
    def by(cls, choices: HyperParameters) -> "LossSelection":
        """From a run's hyper-parameters."""
        return cls(choices.objective, choices.last_turn_only)

    @property
    def keeps_pairs(self) -> bool:
        """Whether rejected answers are used."""
        return self.objective in PREFERENCES

    @property
    def needs_pairs(self) -> bool:
        """Whether every row must have a rejected answer."""
        return self.objective == DPO

    def of(self, example: TrainingExample) -> TrainingExample:
        """The row with the spans of the loss; a rejected answer stays only if it is used."""
        if self.keeps_pairs:
            return replace(example, spans=example.spans[-1:])
        if self.objective == TEXT:
            return TrainingExample(example.ids, ((1, len(example.ids)),))
        spans = example.spans[-1:] if self.last_turn_only else example.spans
        return TrainingExample(example.ids, spans)


def not_pairs(rows: Sequence[int], *, split: str) -> ChildFailure:
    """Error for rows without the required rejected answer."""
    return ChildFailure(
        "NOT_PREFERENCES",
        f"{len(rows)} rows of {split} have no rejected answer: {named_rows(rows)}",
        'Map the file with layout "preference", or use objective kto.',
    )


def named_rows(rows: Sequence[int]) -> str:
    """The first row numbers, and how many more there are."""
    named = ", ".join(map(str, rows[:LISTED_ROWS]))
    return f"{named} and {len(rows) - LISTED_ROWS} more" if len(rows) > LISTED_ROWS else named
