"""Metrics of an evaluation: statistics of each row, and a value from their sums."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite, log
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from modelmill_evaluation import score_names as names
from modelmill_evaluation.intervals import Statistics
from modelmill_evaluation.rouge import rouge_l, rouge_n


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


def bleu() -> Metric:
    """BLEU-4 (Papineni et al. 2002); Chinese by characters, other words as mteval-13a has them."""
    return BLEU(tokenize="zh")


def chrf() -> Metric:
    """chrF2 (Popović 2015): runs of up to six characters."""
    return CHRF()


class TextCorpus:
    """A corpus measure of sacreBLEU's.

    Its own bootstrap works on these statistics too; they have no public name.
    """

    higher_is_better = True

    def __init__(self, name: str, metric: Metric) -> None:
        self.name = name
        self._metric = metric

    def statistics(self, rows: Sequence[RowOutcome]) -> Statistics:
        """One reference a row."""
        said = [(row.answer, row.reference) for row in rows if row.answer is not None]
        if not said:
            return Statistics.of_rows([None] * len(rows))
        answers = [answer for answer, _ in said]
        references = [[reference for _, reference in said]]
        found = iter(self._metric._extract_corpus_statistics(answers, references))
        given = (None if row.answer is None else next(found) for row in rows)
        return Statistics.of_rows(
            [None if row is None else tuple(map(float, row)) for row in given]
        )

    def aggregate(self, sums: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        return self.row_values(sums)

    def row_values(self, distinct: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = [
            self._metric._compute_score_from_stats(numbers).score
            for numbers in distinct.astype(np.int64).tolist()
        ]
        return np.array(scores, np.float64)


Floats = NDArray[np.float64]

LARGEST_EXPONENT = 700.0
"""e to more than this is no number."""


class Measure(Protocol):
    """One way to say how good a model is on rows."""

    name: str
    higher_is_better: bool

    def statistics(self, rows: Sequence[RowOutcome]) -> Statistics:
        """Of each row what the measure needs; none where it does not apply."""
        ...

    def aggregate(self, sums: Floats, rows: int) -> Floats:
        """See `modelmill_evaluation.intervals.Aggregates`."""
        ...

    def row_values(self, distinct: Floats) -> Floats:
        """See `modelmill_evaluation.intervals.Aggregates`."""
        ...


class Mean:
    """The mean of one number a row.

    Args:
        value: Of a row; None where the measure does not apply.
    """

    higher_is_better = True

    def __init__(self, name: str, value: Callable[[RowOutcome], float | None]) -> None:
        self.name = name
        self._value = value

    def statistics(self, rows: Sequence[RowOutcome]) -> Statistics:
        values = (self._value(row) for row in rows)
        return Statistics.of_rows([None if value is None else (value,) for value in values])

    def aggregate(self, sums: Floats, rows: int) -> Floats:
        return sums[:, 0] / rows

    def row_values(self, distinct: Floats) -> Floats:
        return distinct[:, 0]


class Surprise:
    """How unlikely right answers are, per unit of them: each unit counts the same.

    Args:
        units: Of a row's right answer.
        read: From nats per unit to the measure; rising.
    """

    higher_is_better = False

    def __init__(
        self, name: str, units: Callable[[RowOutcome], int], read: Callable[[Floats], Floats]
    ) -> None:
        self.name = name
        self._units = units
        self._read = read

    def statistics(self, rows: Sequence[RowOutcome]) -> Statistics:
        return Statistics.of_rows([self._row(row) for row in rows])

    def aggregate(self, sums: Floats, rows: int) -> Floats:
        return self._read(sums[:, 0] / sums[:, 1])

    def row_values(self, distinct: Floats) -> Floats:
        return distinct[:, 0] / distinct[:, 1]

    def _row(self, row: RowOutcome) -> tuple[float, float] | None:
        units = self._units(row)
        if not row.has_likelihood or not units or row.log_likelihood is None:
            return None
        return -row.log_likelihood, float(units)


class MacroF1:
    """The mean over right answers and chosen ones of each one's F1; all count the same.

    An answer that a sample of rows neither has nor is given does not count in that sample.
    """

    name = names.F1
    higher_is_better = True

    def statistics(self, rows: Sequence[RowOutcome]) -> Statistics:
        pairs = [self._pair(row) for row in rows]
        kinds = sorted({pair for pair in pairs if pair is not None})
        answers = sorted({answer for pair in kinds for answer in pair})
        place = {answer: number for number, answer in enumerate(answers)}
        width = max(len(answers), 1)
        table = np.zeros((len(kinds), 2 * width))
        for number, (right, chosen) in enumerate(kinds):
            table[number, place[right]] = float(right == chosen)
            table[number, width + place[right]] += 0.5
            table[number, width + place[chosen]] += 0.5
        which = {pair: number for number, pair in enumerate(kinds)}
        of_row = [-1 if pair is None else which[pair] for pair in pairs]
        return Statistics(table, np.array(of_row, np.int64))

    def aggregate(self, sums: Floats, rows: int) -> Floats:
        """F1 is true positives over the mean of how often an answer is right and is chosen."""
        hits, seen = np.split(sums, 2, axis=1)
        scores = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        answers: Floats = np.count_nonzero(seen, axis=1).astype(np.float64)
        means: Floats = scores.sum(axis=1) / np.maximum(answers, 1)
        return means

    def row_values(self, distinct: Floats) -> Floats:
        hits: Floats = distinct[:, : distinct.shape[1] // 2].sum(axis=1)
        return hits

    def _pair(self, row: RowOutcome) -> tuple[str, str] | None:
        if row.right is None or row.chosen is None:
            return None
        return row.choices[row.right], row.choices[row.chosen]


def _accuracy(row: RowOutcome) -> float | None:
    if row.right is not None and row.chosen is not None:
        return float(row.chosen == row.right)
    return None if row.is_greedy is None or row.choices else float(row.is_greedy)


def _accuracy_norm(row: RowOutcome) -> float | None:
    chosen = row.chosen_by_length
    return None if row.right is None or chosen is None else float(chosen == row.right)


def _of_answer(score: Callable[[str, str], float]) -> Callable[[RowOutcome], float | None]:
    return lambda row: None if row.answer is None else score(row.answer, row.reference)


def _exactly(answer: str, reference: str) -> float:
    """White space around an answer is nobody's mistake."""
    return float(answer.strip() == reference.strip())


def _perplexity(nats: Floats) -> Floats:
    return np.exp(np.minimum(nats, LARGEST_EXPONENT))


@cache
def measure_of(name: str) -> Measure:
    """The measure of that name.

    Raises:
        KeyError: there is none.
    """
    made: dict[str, Callable[[], Measure]] = {
        names.PERPLEXITY: lambda: Surprise(name, lambda row: row.tokens, _perplexity),
        names.BITS_PER_BYTE: lambda: Surprise(
            name, lambda row: len(row.reference.encode()), lambda nats: nats / log(2)
        ),
        names.ACCURACY: lambda: Mean(name, _accuracy),
        names.ACCURACY_NORM: lambda: Mean(name, _accuracy_norm),
        names.F1: MacroF1,
        names.EXACT_MATCH: lambda: Mean(name, _of_answer(_exactly)),
        names.BLEU: lambda: TextCorpus(name, bleu()),
        names.CHRF: lambda: TextCorpus(name, chrf()),
        names.ROUGE_1: lambda: Mean(name, _of_answer(lambda ours, ref: rouge_n(ours, ref, 1))),
        names.ROUGE_2: lambda: Mean(name, _of_answer(lambda ours, ref: rouge_n(ours, ref, 2))),
        names.ROUGE_L: lambda: Mean(name, _of_answer(rouge_l)),
    }
    return made[name]()
