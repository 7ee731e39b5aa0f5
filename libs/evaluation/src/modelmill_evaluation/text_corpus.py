"""BLEU and chrF by sacreBLEU (Post 2018), of whole corpora, 0 to 100 as everybody writes them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from modelmill_evaluation.row_outcome import RowOutcome
from modelmill_evaluation.statistics import Statistics


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
