"""Keywords whose letters are pulled apart: "b o m b", "b.o.m.b", "炸*弹".

The automaton reads the letters and digits of the shadow copy only. What stands between two letters
decides whether they belong together:

- at most three separators (any other characters; white space in a row is one);
- at least one between two letters of a spaced script, so that ordinary words, whose letters touch,
  end at once what was growing;
- between letters of unspaced scripts none is needed, and no clause punctuation may stand there,
  unless the keyword has three letters or more and all of its letters are pulled apart.

At its ends a match of a spaced script is bounded as a word is. Positions are those of the shadow.
"""

import re
from collections import deque
from collections.abc import Iterable

from guard.found import Found, RuleHead
from guard.keywords import KeywordAutomaton
from guard.normalise import ShadowWindow, is_word_character

MOST_SEPARATORS = 3
_LEAST_LETTERS = 3
"""Of a keyword with letters of a spaced script: two single letters are met by chance."""
_CLAUSE_ENDS = frozenset(",;:!?。、")
_SEPARATOR, _CLAUSE_END, _SPACED, _UNSPACED = range(4)
_ALONE = re.compile(r"(?<![a-z0-9])[a-z0-9](?![a-z0-9])")
_CACHE_LIMIT = 65_536


class _Kinds(dict[str, int]):
    """What each shadow character is to this scan; bounded, as texts choose the keys."""

    def __missing__(self, character: str) -> int:
        if not character.isalnum():
            kind = _CLAUSE_END if character in _CLAUSE_ENDS else _SEPARATOR
        else:
            kind = _SPACED if is_word_character(character) else _UNSPACED
        if len(self) < _CACHE_LIMIT:
            self[character] = kind
        return kind


_KINDS = _Kinds()


def letters_of(keyword: str) -> str:
    """The letters by which a keyword is found pulled apart; empty when it is too short for that."""
    letters = "".join(filter(str.isalnum, keyword))
    spaced = any(map(is_word_character, letters))
    return letters if len(letters) >= (_LEAST_LETTERS if spaced else 2) else ""


def is_unspaced(keyword: str) -> bool:
    """Whether all letters are of unspaced scripts: `SpacedScan` then also finds it whole."""
    return len(keyword) > 1 and all(_KINDS[character] == _UNSPACED for character in keyword)


class SpacedKeywords:
    """The automaton over letters; built once, shared by all scans."""

    def __init__(self, keywords: Iterable[tuple[str, RuleHead]]) -> None:
        """Build from (normalised keyword, its rule)."""
        pairs = [(letters_of(keyword), rule) for keyword, rule in keywords]
        self.longest = max((len(letters) for letters, _ in pairs), default=0)
        self.automaton = KeywordAutomaton(
            (letters, rule, False) for letters, rule in pairs if letters
        )


class SpacedScan:
    """One text's way through the letters."""

    def __init__(self, keywords: SpacedKeywords) -> None:
        self._automaton = keywords.automaton
        self._idle = keywords.longest == 0
        self._node = 0
        self._at = 0
        self._places: deque[int] = deque(maxlen=max(keywords.longest, 1))
        """Positions of the last letters, as many as the longest keyword has."""
        self._letters = 0
        """Letters read so far; letters are numbered from 1."""
        self._last_kind = _SEPARATOR
        """Of the last letter."""
        self._gap = 0
        """Separators since the last letter."""
        self._clause_in_gap = False
        self._clause_before = 0
        """Number of the last letter that had a clause end before it."""
        self._touching = 0
        """Number of the last letter that touched the one before it."""
        self._awaiting_end: list[Found] = []

    def feed(self, window: ShadowWindow, *, finished: bool) -> list[Found]:
        """Read what the window has gained; return the occurrences that are now certain."""
        found: list[Found] = []
        if not self._idle:
            self._read(window, found)
        self._at = window.end
        if finished:
            self._decide_awaiting(found, touched=False)
        return found

    def frontier(self, window: ShadowWindow) -> int:
        """The first position at which a keyword may be growing; the end when none is."""
        depth = self._automaton.depth[self._node]
        return self._places[-depth] if depth else window.end

    def _read(self, window: ShadowWindow, found: list[Found]) -> None:
        text, start = window.text, window.start
        at, end = self._at - start, len(text)
        skips = text.isascii()
        while at < end:
            if skips and not self._node and not self._awaiting_end:
                alone = _ALONE.search(text, at)
                if alone is None:
                    self._skip_to_end(text)
                    return
                at = alone.start()
                self._gap = MOST_SEPARATORS + 1
            kind = _KINDS[text[at]]
            if kind <= _CLAUSE_END:
                self._separator(kind, found)
            else:
                self._letter(text[at], kind, start + at, found)
            at += 1

    def _skip_to_end(self, text: str) -> None:
        """Nothing is growing, and nothing in the rest of the text begins."""
        if text[-1].isalnum():
            self._gap, self._last_kind = 0, _SPACED
        else:
            self._gap = MOST_SEPARATORS + 1

    def _separator(self, kind: int, found: list[Found]) -> None:
        if not self._gap:
            if self._awaiting_end:
                self._decide_awaiting(found, touched=False)
            self._node = self._automaton.growing(self._node)
        self._gap += 1
        self._clause_in_gap |= kind == _CLAUSE_END
        if self._gap > MOST_SEPARATORS:
            self._node = 0

    def _letter(self, letter: str, kind: int, position: int, found: list[Found]) -> None:
        touches = self._gap == 0
        self._letters += 1
        if self._awaiting_end:
            self._decide_awaiting(found, touched=kind == _SPACED)
        if touches:
            self._touching = self._letters
        elif self._clause_in_gap:
            self._clause_before = self._letters
        self._places.append(position)
        within_word = touches and kind == _SPACED == self._last_kind
        self._gap, self._clause_in_gap, self._last_kind = 0, False, kind
        if within_word:
            self._node = 0
            return
        self._node = node = self._automaton.step(self._node, letter)
        if self._automaton.ends_keyword[node]:
            self._occurrences(node, position + 1, found)

    def _occurrences(self, node: int, end: int, found: list[Found]) -> None:
        apart = self._letters - self._touching
        in_one_clause = self._letters - self._clause_before
        for keyword in self._automaton.ending_at(node):
            gaps = keyword.length - 1
            if in_one_clause < gaps and (keyword.length < _LEAST_LETTERS or apart < gaps):
                continue
            occurrence = Found(self._places[-keyword.length], end, keyword.rule)
            (self._awaiting_end if keyword.ends_word else found).append(occurrence)

    def _decide_awaiting(self, found: list[Found], *, touched: bool) -> None:
        if not touched:
            found.extend(self._awaiting_end)
        self._awaiting_end.clear()
