"""Rule-based entity finder that skips texts by cheap hints."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from modelmill_data_prep.domain.entities import addresses
from modelmill_data_prep.domain.entities.recognisers import RECOGNISERS, Hint
from modelmill_data_prep.domain.entities.spans import Span
from modelmill_data_prep.domain.entities.widths import WIDE, to_half_width

_SEPARATOR = "\n"
"""Separator of joined texts; hints never span lines."""

Find = Callable[[str], Iterator[tuple[int, int]]]

_RULES: tuple[tuple[str, Hint, Find], ...] = (
    *((one.type, one.hint, one) for one in RECOGNISERS),
    ("address", addresses.CN_HINT, addresses.find_chinese),
    ("address", addresses.US_HINT, addresses.find_american),
)


class RuleFinder:
    """Finds all types except `MODEL_TYPES`, including full-width forms."""

    def __call__(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans per text; they may overlap."""
        found: list[list[Span]] = [[] for _ in texts]
        joined = _SEPARATOR.join(texts)
        starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
        if wide := _texts_with(WIDE, joined, starts):
            texts = list(texts)
            for place in wide:
                texts[place] = to_half_width(texts[place])
            joined = _SEPARATOR.join(texts)
        hinted: dict[Hint, list[int]] = {}
        for name, hint, find in _RULES:
            if hint not in hinted:
                hinted[hint] = _texts_with(hint, joined, starts)
            for place in hinted[hint]:
                found[place] += (Span(name, *span) for span in find(texts[place]))
        return found


def _texts_with(hint: Hint, joined: str, starts: Sequence[int]) -> list[int]:
    """Sorted indices of the texts that match a hint."""
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
        # One match per text suffices.
        place = find(starts[text + 1])
