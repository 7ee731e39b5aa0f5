"""What a model made of one row: all that measures look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """One row's right answer and what the model said; None is what it did not say."""

    reference: str
    """The right answer."""
    log_likelihood: float | None = None
    """Of the right answer after the prompt, in nats; finite."""
    tokens: int = 0
    """Of the right answer."""
    choices: tuple[str, ...] = ()
    right: int | None = None
    """Index of the right choice."""
    choice_scores: tuple[float, ...] | None = None
    """Log-likelihood of each choice, in nats."""
    is_greedy: bool | None = None
    """Whether the right answer is what the model says unasked; only where no choices are given."""
    answer: str | None = None
    """What was generated."""

    @property
    def chosen(self) -> int | None:
        """Index of the likeliest choice, the first of equals."""
        return _likeliest(self.choice_scores)

    @property
    def chosen_by_length(self) -> int | None:
        """The same by likelihood per character: long choices are not at a loss."""
        if self.choice_scores is None:
            return None
        lengths = [max(len(choice), 1) for choice in self.choices]
        return _likeliest([s / n for s, n in zip(self.choice_scores, lengths, strict=True)])

    @property
    def has_likelihood(self) -> bool:
        """Whether there is a finite one, of at least a token."""
        return self.log_likelihood is not None and isfinite(self.log_likelihood) and self.tokens > 0


def _likeliest(scores: Sequence[float] | None) -> int | None:
    return None if scores is None else max(range(len(scores)), key=scores.__getitem__)
