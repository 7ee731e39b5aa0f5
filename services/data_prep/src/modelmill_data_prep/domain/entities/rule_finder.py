"""Finds by rules, and hardly looks at texts in which nothing can be."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from modelmill_data_prep.domain.entities import addresses
from modelmill_data_prep.domain.entities.recognisers import RECOGNISERS, Hint
from modelmill_data_prep.domain.entities.spans import Span
from modelmill_data_prep.domain.entities.widths import WIDE, in_plain_width

_SEPARATOR = "\n"
"""Stands between texts when all are searched at once; no hint goes beyond a line."""

Find = Callable[[str], Iterator[tuple[int, int]]]

_RULES: tuple[tuple[str, Hint, Find], ...] = (
    *((one.type, one.hint, one) for one in RECOGNISERS),
    ("address", addresses.CN_HINT, addresses.find_chinese),
    ("address", addresses.US_HINT, addresses.find_american),
)


class RuleFinder:
    """Finds all types but those of `MODEL_TYPES`, in full width too."""

    def __call__(self, texts: Sequence[str]) -> list[list[Span]]:
        """Of each text what is in it; spans may overlap."""
        found: list[list[Span]] = [[] for _ in texts]
        joined = _SEPARATOR.join(texts)
        starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
        if wide := _texts_with(WIDE, joined, starts):
            texts = list(texts)
            for place in wide:
                texts[place] = in_plain_width(texts[place])
            joined = _SEPARATOR.join(texts)
        hinted: dict[Hint, list[int]] = {}
        for name, hint, find in _RULES:
            if hint not in hinted:
                hinted[hint] = _texts_with(hint, joined, starts)
            for place in hinted[hint]:
                found[place] += (Span(name, *span) for span in find(texts[place]))
        return found


def _texts_with(hint: Hint, joined: str, starts: Sequence[int]) -> list[int]:
    """The numbers of the texts in which the hint is found, in order."""
    if isinstance(hint, tuple):
        found = {place for mark in hint for place in _texts_of(_finder(mark, joined), starts)}
        return sorted(found)
    return list(_texts_of(_searcher(hint, joined), starts))


def _finder(mark: str, joined: str) -> Callable[[int], int]:
    return lambda start: joined.find(mark, start)


def _searcher(hint: re.Pattern[str], joined: str) -> Callable[[int], int]:
    def search(start: int) -> int:
        match = hint.search(joined, start)
        return match.start() if match else -1

    return search


def _texts_of(find: Callable[[int], int], starts: Sequence[int]) -> Iterator[int]:
    place = find(0)
    while place >= 0:
        text = bisect_right(starts, place) - 1
        yield text
        # What else is in the same text does not matter.
        place = find(starts[text + 1])
