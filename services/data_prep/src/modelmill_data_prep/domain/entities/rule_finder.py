"""Rule-based entity finder that skips texts by cheap hints, and masking of displayed texts."""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate

from modelmill_data_prep.domain.entities.entity_plan import (
    TYPES,
    EntityFinder,
    Span,
    without_overlaps,
)
from modelmill_data_prep.domain.entities.person_names import (
    CHINESE_NAME_HINT,
    ENGLISH_NAME_HINT,
    WORDED_NAME_HINT,
    find_chinese_names,
    find_english_names,
    find_worded_names,
)
from modelmill_data_prep.domain.entities.recognisers import (
    CN_ADDRESS_HINT,
    ENGLISH_ADDRESS_HINT,
    RECOGNISERS,
    WIDE,
    Hint,
    find_chinese_addresses,
    find_english_addresses,
    to_half_width,
)
from modelmill_data_prep.domain.entities.worded_recognisers import WORDED_RECOGNISERS

_SEPARATOR = "\n"
"""Separator of joined texts; hints never span lines."""

MAX_ROUNDS = 8
"""Rounds of masking."""

Find = Callable[[str], Iterator[tuple[int, int]]]

_RULES: tuple[tuple[str, Hint, Find], ...] = (
    *((one.type, one.hint, one) for one in (*RECOGNISERS, *WORDED_RECOGNISERS)),
    ("address", CN_ADDRESS_HINT, find_chinese_addresses),
    ("address", ENGLISH_ADDRESS_HINT, find_english_addresses),
    ("person", ENGLISH_NAME_HINT, find_english_names),
    ("person", WORDED_NAME_HINT, find_worded_names),
    ("person", CHINESE_NAME_HINT, find_chinese_names),
)


class RuleFinder:
    """Finds types by rules, including full-width forms.

    Args:
        types: Types to find; by default all but `MODEL_TYPES`.
    """

    def __init__(self, types: Collection[str] = TYPES) -> None:
        self._rules = [rule for rule in _RULES if rule[0] in types]

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
        for name, hint, find in self._rules:
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


def mask_entities(texts: Sequence[str], find: EntityFinder, types: Collection[str]) -> list[str]:
    """Replace entities of the given types by "[EMAIL]" etc.

    Repeated until nothing is found, at most `MAX_ROUNDS` times, because a replacement can reveal an
    adjacent entity.
    """
    left = list(texts)
    pending = list(range(len(left)))
    for _ in range(MAX_ROUNDS):
        found = find([left[place] for place in pending])
        again = []
        for place, spans in zip(pending, found, strict=True):
            wanted = without_overlaps(span for span in spans if span.type in types)
            for span in reversed(wanted):
                text = left[place]
                left[place] = f"{text[: span.start]}[{span.type.upper()}]{text[span.end :]}"
            if wanted:
                again.append(place)
        pending = again
        if not pending:
            break
    return left
