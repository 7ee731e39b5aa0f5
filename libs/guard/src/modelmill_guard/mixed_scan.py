"""One text's way through the states of Chinese keywords in mixed ways (`mixed`)."""

from collections.abc import Iterable
from itertools import islice

from modelmill_guard.found import Found
from modelmill_guard.letters_apart import CLAUSE_END, KINDS, MOST_SEPARATORS, SPACED, LettersApart
from modelmill_guard.mixed import MOST_LETTERS, MixedKeywords, State
from modelmill_guard.normalise import ShadowWindow

_MOST_CHARACTERS = MOST_LETTERS * (1 + MOST_SEPARATORS)
_LEAST_APART = 3
"""Letters between which clause ends may stand, where none touch."""


class MixedScan(LettersApart):
    """One text's way through the states."""

    def __init__(self, keywords: MixedKeywords) -> None:
        super().__init__(MOST_LETTERS)
        self._keywords = keywords
        self._begun = keywords.begins.search
        self._state = keywords.nothing

    def feed(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> int:
        """As `KeywordScan.feed`."""
        end, at, text = window.end, self._at - window.start, window.text
        self._at = end
        length = len(text)
        if length > _MOST_CHARACTERS and self._state is self._keywords.nothing and text.isascii():
            # What counts has another letter, beyond the end, and is no longer than that.
            at = max(at, length - _MOST_CHARACTERS)
        while at < length:
            if not self._state.growing and not self._awaiting_end:
                begun = self._begun(text, at)
                if begun is None:
                    return end
                at = begun.start()
                self._begin_behind(text, at)
            at = self._read_on(window, at, found)
        if finished:
            self._decide_awaiting(found, touched=False)
            return end
        letters = self._state.letters
        growing_at = self._places[-letters] if letters else end
        return min([growing_at, *(start for start, _, _ in self._awaiting_end)])

    def _read_on(self, window: ShadowWindow, at: int, found: list[Found]) -> int:
        """Read until nothing is growing; return how far."""
        keywords, places, start, text = self._keywords, self._places, window.start, window.text
        state, awaiting = self._state, self._awaiting_end
        for at in range(at, len(text)):  # noqa: B020
            letter = text[at]
            kind = KINDS[letter]
            if kind <= CLAUSE_END:
                if awaiting:
                    self._decide_awaiting(found, touched=False)
                self._gap += 1
                self._clause_in_gap |= kind == CLAUSE_END
                if self._gap > MOST_SEPARATORS:
                    state = keywords.nothing
            else:
                touches = not self._gap and kind == SPACED == self._last_kind
                if awaiting:
                    self._decide_awaiting(found, touched=touches)
                if self._gap:
                    self._end_gap(start + at)
                else:
                    self._touching = start + at
                self._last_kind = kind
                places.append(start + at)
                known = state.after_touching if touches else state.after_any
                state = known.get(letter) or keywords.step(state, letter, touches=touches)
                if state.ends:
                    self._occurrences(window, state, found)
            if not state.growing:
                break
        self._state = state
        return at + 1

    def _occurrences(self, window: ShadowWindow, state: State, found: list[Found]) -> None:
        """The keywords that end with the last letter."""
        for letters, rule in state.ends:
            places = [*islice(self._places, len(self._places) - letters, None)]
            start, end = places[0], places[-1] + 1
            apart = letters >= _LEAST_APART and self._touching <= start
            if (self._clause_before <= start or apart) and _counts(map(window.character, places)):
                bounded = self._last_kind == SPACED
                (self._awaiting_end if bounded else found).append(Found(start, end, rule))


def _counts(written: Iterable[str]) -> bool:
    """Whether something is no Latin letter, and not just one is."""
    kinds = [KINDS[letter] for letter in written if not letter.isdigit()]
    return SPACED not in kinds or (kinds.count(SPACED) > 1 and len(set(kinds)) > 1)
