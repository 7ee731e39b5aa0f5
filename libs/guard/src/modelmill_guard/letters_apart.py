"""Where the letters of a text stand and what separates them, for scans of pulled-apart words.

Scans read its attributes in their own loops, because a call for each letter would cost too much.
"""

from collections import deque

from modelmill_guard.normalise import is_word_character
from modelmill_guard.verdict import Found

MOST_SEPARATORS = 3
_CLAUSE_ENDS = frozenset(",;:!?。、")
SEPARATOR, CLAUSE_END, SPACED, UNSPACED = range(4)
"""Kinds of characters; up to `CLAUSE_END` they are no letters."""
_CACHE_LIMIT = 65_536


class _Kinds(dict[str, int]):
    """What each shadow character is to these scans; bounded, as texts choose the keys."""

    def __missing__(self, character: str) -> int:
        if not character.isalnum():
            kind = CLAUSE_END if character in _CLAUSE_ENDS else SEPARATOR
        else:
            kind = SPACED if is_word_character(character) else UNSPACED
        if len(self) < _CACHE_LIMIT:
            self[character] = kind
        return kind


KINDS = _Kinds()


class LettersApart:
    """The state of one text.

    Args:
        most: letters whose places are kept.
        at: where reading begins; what lies before may be looked at.
    """

    def __init__(self, most: int, at: int = 0) -> None:
        self._at = at
        self._places: deque[int] = deque(maxlen=most)
        """Positions of the last letters."""
        self._last_kind = SPACED
        """Of the last letter."""
        self._gap = MOST_SEPARATORS + 1
        """Separators since the last letter."""
        self._clause_in_gap = False
        self._clause_before = 0
        """The last letter that had a clause end before it."""
        self._touching = 0
        """The last letter that touched the one before it."""
        self._awaiting_end: list[Found] = []
        """Keywords whose last letter, of a spaced script, was the last character."""

    def skip_to(self, at: int) -> None:
        """Go on at a later place, nothing being growing."""
        self._at = at

    def _begin_behind(self, text: str, at: int) -> None:
        """Let the first letter of a keyword stand at `at`."""
        self._last_kind = KINDS[text[at - 1]] if at else SEPARATOR
        self._gap = 0 if self._last_kind > CLAUSE_END else MOST_SEPARATORS + 1

    def _end_gap(self, position: int) -> None:
        if self._clause_in_gap:
            self._clause_before = position
        self._gap, self._clause_in_gap = 0, False

    def _decide_awaiting(self, found: list[Found], *, touched: bool) -> None:
        if not touched:
            found.extend(self._awaiting_end)
        self._awaiting_end.clear()
