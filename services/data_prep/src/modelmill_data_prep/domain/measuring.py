"""How long rows are, counted over whole batches without a tokenizer."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.code_points import HAN, CharacterClass, CodePoints
from modelmill_data_prep.domain.languages import languages_of
from modelmill_data_prep.domain.measure import Measure

C = CharacterClass
_MARKS = (C.PUNCTUATION, C.SENTENCE_END, C.APOSTROPHE, C.SYMBOL, C.LOST)
_SILENT = (C.OTHER, C.SPACE, C.PUNCTUATION, C.APOSTROPHE, C.SYMBOL, C.LOST, C.MARK)


def measure_texts(texts: Sequence[str]) -> list[Measure]:
    """Measure rows, each given as what is said in it.

    A token is a word, a Han or kana character, or a mark; the same mark several times in a row is
    one. A sentence ends at a full stop and its like, unless a letter or digit follows at once, and
    at the end of a line; one without words is none.
    """
    points = CodePoints(texts)
    marks = points.marked(_MARKS)
    marks[1:] &= points.codes[1:] != points.codes[:-1]
    words = points.in_words()
    marks &= ~words
    words[1:] &= ~words[:-1].copy()
    tokens = points.per_text(marks | words) + points.count((*HAN, C.KANA))
    return [
        Measure(*row)
        for row in zip(
            languages_of(texts, points),
            tokens.tolist(),
            _sentences(points).tolist(),
            strict=True,
        )
    ]


def _sentences(points: CodePoints) -> NDArray[np.int64]:
    ends = (points.classes == C.SENTENCE_END) | (points.classes == C.LINE_BREAK)
    speaks = ~points.marked((*_SILENT, C.SENTENCE_END, C.LINE_BREAK))
    # "3.14" and "e.g." have no end inside.
    narrow = np.flatnonzero(points.codes == ord("."))
    ends[narrow[speaks[narrow + 1]]] = False
    events = np.flatnonzero(ends | speaks)
    closing = speaks[events].copy()
    closing[:-1] &= ends[events[1:]]
    return points.per_text_at(events[closing])
