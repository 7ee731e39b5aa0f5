"""Augmentation by synonyms in user messages."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import pyarrow as pa

from modelmill_data_prep.domain.augmenting.row_maker import chosen_rows, rewritten
from modelmill_data_prep.domain.augmenting.similarity import SimilarityLimits

NAME = "synonyms@1"

_LATIN_WORD = r"(?<![\w'@./-])[A-Za-z][a-z]+(?![\w'@/-]|\.\w)"
"""A lower-case or capitalised word that is not part of a longer token or address."""

_STEP = 0x5851F42D4C957F2D
_MASK = 2**64 - 1


class Synonyms:
    """Replaces about half of the words with synonyms, at least one per message.

    Latin words match as whole words, lower-case or capitalised; the synonym is capitalised
    likewise. Chinese words match anywhere. Inflected forms do not match.


    Args:
        groups: Groups of interchangeable words; no word is in two groups.
        limits: Required similarity of a rewritten message.
    """

    def __init__(self, groups: Iterable[Sequence[str]], limits: SimilarityLimits) -> None:
        self._group_of = {word: group for group in groups for word in group}
        self._limits = limits
        wide = sorted(word for word in self._group_of if not word.isascii())
        self._sizes = sorted({len(word) for word in wide}, reverse=True)
        starts = re.escape("".join(dict.fromkeys(word[0] for word in wide)))
        self._candidate = re.compile(_LATIN_WORD + (f"|[{starts}]" if wide else ""))

    def make(self, rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
        """As `RowMaker.make`."""
        chosen = chosen_rows(rows, share, seed)
        return rewritten(chosen, partial(self._rewrite, seed), self._limits, NAME)

    def _rewrite(self, seed: int, texts: Sequence[str], numbers: Sequence[int]) -> list[str]:
        return [
            self._with_synonyms(text, number ^ seed)
            for text, number in zip(texts, numbers, strict=True)
        ]

    def _with_synonyms(self, text: str, number: int) -> str:
        found = list(self._words(text))
        if not found:
            return text
        always = number % len(found)
        parts, end = [], 0
        for place, (start, word) in enumerate(found):
            number = (number * _STEP + 1) & _MASK
            drawn = number >> 33
            if place != always and drawn & 1:
                continue
            parts += [text[end:start], self._other(word, drawn >> 1)]
            end = start + len(word)
        return "".join([*parts, text[end:]])

    def _words(self, text: str) -> Iterator[tuple[int, str]]:
        """Start and text of words with synonyms; the first of overlapping ones."""
        end = 0
        for match in self._candidate.finditer(text):
            start, word = match.span()[0], match.group()
            if word.isascii():
                if word.lower() in self._group_of:
                    yield start, word
            elif start >= end:
                for size in self._sizes:
                    if (word := text[start : start + size]) in self._group_of:
                        yield start, word
                        end = start + size
                        break

    def _other(self, word: str, number: int) -> str:
        group = self._group_of[word.lower()]
        others = [one for one in group if one != word.lower()]
        other = others[number % len(others)]
        return other.capitalize() if word[0].isupper() else other
