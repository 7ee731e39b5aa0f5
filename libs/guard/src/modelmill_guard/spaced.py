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
from collections.abc import Iterable
from itertools import islice

from modelmill_guard.keywords import KeywordAutomaton
from modelmill_guard.letters_apart import (
    CLAUSE_END,
    KINDS,
    MOST_SEPARATORS,
    SPACED,
    UNSPACED,
    LettersApart,
)
from modelmill_guard.normalise import ShadowWindow, is_word_character
from modelmill_guard.reading import AS_WRITTEN, Reading
from modelmill_guard.verdict import Found, RuleHead

_LEAST_LETTERS = 3
"""Of a keyword with letters of a spaced script: two single letters are met by chance."""


def letters_of(keyword: str) -> str:
    """The letters by which a keyword is found pulled apart; empty when it is too short for that."""
    letters = "".join(filter(str.isalnum, keyword))
    spaced = any(map(is_word_character, letters))
    return letters if len(letters) >= (_LEAST_LETTERS if spaced else 2) else ""


def is_unspaced(keyword: str) -> bool:
    """Whether all letters are of unspaced scripts: `SpacedScan` then also finds it whole."""
    return len(keyword) > 1 and all(KINDS[character] == UNSPACED for character in keyword)


class SpacedKeywords:
    """The automaton over letters; built once, shared by all scans."""

    def __init__(
        self, keywords: Iterable[tuple[str, RuleHead]], reading: Reading = AS_WRITTEN
    ) -> None:
        """Build from (normalised keyword, its rule)."""
        pairs = [(letters_of(keyword), rule) for keyword, rule in keywords]
        self.longest = max((len(letters) for letters, _ in pairs), default=0)
        self.automaton = KeywordAutomaton(
            ((letters, rule, False) for letters, rule in pairs if letters), reading=reading
        )
        self.ways_to_begin = _beginnings(self.automaton.children[0])
        """Patterns, each of which begins with a literal, for which a search runs ahead quickly."""
        self.begins = re.compile("|".join(self.ways_to_begin))
        """Finds where a keyword may begin."""
        self.begins_in_ascii = any(map(str.isascii, self.automaton.children[0]))


def _beginnings(first: Iterable[str]) -> list[str]:
    """One of the letters; in ASCII one that touches no other."""
    alone = "(?<![a-z0-9].)(?![a-z0-9])"
    return [f"{one}{alone}" if one.isascii() else one for one in sorted(first)]


class SpacedScan(LettersApart):
    """One text's way through the letters."""

    def __init__(self, keywords: SpacedKeywords, at: int = 0) -> None:
        """Read from `at` on; what lies before may be looked at."""
        super().__init__(max(keywords.longest, 1), at)
        self._automaton = keywords.automaton
        self._begun = keywords.begins.search
        self._begins_in_ascii = keywords.begins_in_ascii
        self._read = keywords.automaton.reading.read
        self._node = 0

    def feed(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> int:
        """Read what the window has gained; add the occurrences that are now certain to `found`.

        Returns:
            The first position at which a keyword may be growing; the end when none is.
        """
        end, at = window.end, self._at - window.start
        self._at = end
        if not self._begins_in_ascii and not self._node and window.text.isascii():
            return end
        text = self._read(window.text)
        while at < len(text):
            # Most characters cannot begin anything here, nor can words, whose letters touch.
            if not self._node and not self._awaiting_end:
                begun = self._begun(text, at)
                if begun is None:
                    return end
                at = begun.start()
                self._begin_behind(text, at)
            at = self._read_on(window, text, at, found)
        if finished:
            self._decide_awaiting(found, touched=False)
        depth = self._automaton.depth[self._node]
        return self._places[-depth] if depth else end

    def _read_on(self, window: ShadowWindow, text: str, at: int, found: list[Found]) -> int:
        """Read until nothing is growing; return how far."""
        automaton, places = self._automaton, self._places
        children, fallback = automaton.children, automaton.fallback
        ends, awaiting = automaton.ends, self._awaiting_end
        node, start = self._node, window.start
        # `automaton.step` and all that is common written out.
        for at in range(at, len(text)):  # noqa: B020
            letter = text[at]
            kind = KINDS[letter]
            if kind <= CLAUSE_END:
                node = self._separator(kind, node, found)
            else:
                if awaiting:
                    # A sign that could be read as a letter ends a word all the same.
                    touched = KINDS[window.text[at]] == SPACED
                    self._decide_awaiting(found, touched=touched)
                if self._gap:
                    self._end_gap(start + at)
                elif kind == SPACED == self._last_kind:
                    node = 0
                    break
                else:
                    self._touching = start + at
                self._last_kind = kind
                places.append(start + at)
                while (child := children[node].get(letter)) is None and node:
                    node = fallback[node]
                node = child or 0
                if ends[node]:
                    self._occurrences(window, node, start + at + 1, found)
            if not node:
                break
        self._node = node
        return at + 1

    def _separator(self, kind: int, node: int, found: list[Found]) -> int:
        """The node after a separator."""
        if not self._gap:
            if self._awaiting_end:
                self._decide_awaiting(found, touched=False)
            node = self._automaton.growing(node)
        self._gap += 1
        self._clause_in_gap |= kind == CLAUSE_END
        return node if self._gap <= MOST_SEPARATORS else 0

    def _occurrences(self, window: ShadowWindow, node: int, end: int, found: list[Found]) -> None:
        reading = self._automaton.reading
        for keyword in self._automaton.ending_at(node):
            start = self._places[-keyword.length]
            if self._clause_before > start and (
                keyword.length < _LEAST_LETTERS or self._touching > start
            ):
                continue
            if reading is not AS_WRITTEN and not reading.spells(
                keyword.text, self._written(window, keyword.length)
            ):
                continue
            occurrence = Found(start, end, keyword.rule)
            (self._awaiting_end if keyword.ends_word else found).append(occurrence)

    def _written(self, window: ShadowWindow, letters: int) -> str:
        """The last letters."""
        places = islice(self._places, len(self._places) - letters, None)
        return "".join(map(window.character, places))
