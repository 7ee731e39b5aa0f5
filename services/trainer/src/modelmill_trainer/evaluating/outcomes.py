"""From answers to what measures look at."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from modelmill_evaluation.row_outcome import RowOutcome

from modelmill_trainer.evaluating.answer_book import AnswerBook
from modelmill_trainer.evaluating.items import Item, Suite
from modelmill_trainer.evaluating.question_kinds import SCORE, WRITE

NOT_FINITE = "a likelihood is no finite number"


@dataclass
class Unanswered:
    """Questions to which a model had no answer."""

    counts: Counter[str] = field(default_factory=Counter)
    """By what was asked."""
    first: str = ""
    """Why, of the first."""
    cut: int = 0
    """Generated answers that ended at the limit of tokens."""

    def count(self, asks: str, refusal: str) -> None:
        self.counts[asks] += 1
        self.first = self.first or refusal

    def as_json(self) -> dict[str, Any]:
        return {**dict(sorted(self.counts.items())), "first_reason": self.first}


def outcomes_of(suite: Suite, side: int, book: AnswerBook) -> tuple[list[RowOutcome], Unanswered]:
    """What a model made of each row of a suite, in the order of its items."""
    unanswered = Unanswered()
    return [_outcome(suite, item, side, book, unanswered) for item in suite.items], unanswered


def _outcome(
    suite: Suite, item: Item, side: int, book: AnswerBook, unanswered: Unanswered
) -> RowOutcome:
    scores = _value(book.get((suite.name, item.key, side, SCORE)), SCORE, unanswered)
    written = _value(book.get((suite.name, item.key, side, WRITE)), WRITE, unanswered)
    if written is not None and written["finish_reason"] == "length":
        unanswered.cut += 1
    if scores is not None and not all(isfinite(score["log_likelihood"]) for score in scores):
        unanswered.count(SCORE, NOT_FINITE)
        scores = None
    answer = None if written is None else written["text"]
    if scores is None:
        return RowOutcome(item.reference, choices=item.choices, right=item.right, answer=answer)
    return _scored(item, scores, answer)


def _scored(item: Item, scores: Sequence[dict[str, Any]], answer: str | None) -> RowOutcome:
    right = scores[item.right or 0]
    return RowOutcome(
        item.reference,
        log_likelihood=right["log_likelihood"],
        tokens=right["tokens"],
        choices=item.choices,
        right=item.right,
        choice_scores=tuple(s["log_likelihood"] for s in scores) if item.choices else None,
        is_greedy=None if item.choices else right["is_greedy"],
        answer=answer,
    )


def _value(answer: dict[str, Any] | None, asks: str, unanswered: Unanswered) -> Any:
    if answer is None:
        return None  # it was not asked
    if answer["value"] is None:
        unanswered.count(asks, answer["refusal"])
    return answer["value"]
