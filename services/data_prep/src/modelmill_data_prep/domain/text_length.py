"""Length of rows in tokens and sentences, counted for whole batches without a tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.code_points import HAN, CharacterClass, CodePoints
from modelmill_data_prep.domain.language_names import Language
from modelmill_data_prep.domain.languages import languages_of

C = CharacterClass
_MARKS = (C.PUNCTUATION, C.SENTENCE_END, C.APOSTROPHE, C.SYMBOL, C.LOST)
_SILENT = (C.OTHER, C.SPACE, C.PUNCTUATION, C.APOSTROPHE, C.SYMBOL, C.LOST, C.MARK)


@dataclass(frozen=True, slots=True)
class TextLength:
    """Length of one row, without its system message."""

    language: Language
    tokens: int
    """Words and punctuation marks; a Han character is one token."""

    sentences: int


def measure_lengths(texts: Sequence[str]) -> list[TextLength]:
    """Measure rows, each given as its text without the system message.

    A token is a word, a Han or kana character, or a punctuation mark; a run of equal marks is one.
    A sentence ends at a full stop or similar mark that no letter or digit follows, or at a line
    end, and has at least one word.
    """
    points = CodePoints(texts)
    marks = points.marked(_MARKS)
    marks[1:] &= points.codes[1:] != points.codes[:-1]
    words = points.in_words()
    marks &= ~words
    words[1:] &= ~words[:-1].copy()
    tokens = points.per_text(marks | words) + points.count((*HAN, C.KANA))
    return [
        TextLength(*row)
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
