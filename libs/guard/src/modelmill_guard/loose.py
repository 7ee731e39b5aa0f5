"""Phrases whose words are joined or parted in another way: how_to_make_it, HowToMakeIt, ma-ke it.

As in `spaced`, the automaton reads letters and digits only, but here letters may touch: what stands
between the letters of a keyword is looked at once all of them are there. A phrase has two words
and eight letters or more, and may be written with

- up to five separators between two words, or none;
- up to three between two letters of a word;
- no clause end with a space, as sentences have it, unless all its words are parted by signs.

A word of six letters or more may be parted by signs, but by no space: two words are met by chance.
In a phrase of three words an i stands for an l, and an l for an i. At its ends either is bounded
as a word is, or as the words of a name are: v2HowToMakeItNow. A phrase may have Chinese characters
for some of its words. Keywords that are shorter, or all of unspaced scripts, are left to `spaced`.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise, product
from operator import methodcaller
from typing import NamedTuple

from modelmill_guard.keywords import KeywordAutomaton
from modelmill_guard.letters_apart import CLAUSE_END, KINDS, SPACED, UNSPACED
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.reading import AS_WRITTEN, MOST_BETWEEN_WORDS, Reading, any_of, beginnings
from modelmill_guard.verdict import Found, RuleHead


def starts_word(window: ShadowWindow, start: int) -> bool:
    """Whether the letter at `start` is of an unspaced script or the first of a word.

    A word ends at what is no letter of a spaced script, between a letter and a digit, and where
    `camel_case` says so.
    """
    if KINDS[window.character(start)] == UNSPACED:
        return True
    if start <= window.start:
        return start == 0
    return _are_parted(window, start) or window.camel_case.has(start)


def ends_word(window: ShadowWindow, end: int) -> bool | None:
    """Whether the letter before `end` is the last of a word; None while that is not known."""
    if end == window.end:
        return None
    if _are_parted(window, end):
        return True
    camel_case = window.camel_case
    if end == window.end - 1 and camel_case.capitals > 1:
        return None
    return camel_case.has(end)


def _are_parted(window: ShadowWindow, position: int) -> bool:
    """Whether no word has both the letter at `position` and the one before it, in any case."""
    # What is written: a sign that could be read as a letter parts words all the same.
    before, after = window.character(position - 1), window.character(position)
    return KINDS[before] != SPACED or KINDS[after] != SPACED or before.isdigit() != after.isdigit()


MOST_WITHIN = 3
"""Separators within a word; white space in a row is one."""
LEAST_OF_PHRASE, LEAST_OF_WORD = 8, 6
"""Letters."""
_LETTERS_OF_HAN = 3
"""Says as much as so many others."""
_SENTENCE_ENDS = frozenset(".")
_HEAD = 3
"""Letters of a beginning by which a text is searched."""


def is_loose(keyword: str) -> bool:
    """Whether the keyword is found however its words are joined."""
    kinds = [KINDS[letter] for letter in keyword if letter.isalnum()]
    letters = sum(_LETTERS_OF_HAN if kind == UNSPACED else 1 for kind in kinds)
    if len(_words(keyword)) > 1:
        return letters >= LEAST_OF_PHRASE and SPACED in kinds
    return letters >= LEAST_OF_WORD and UNSPACED not in kinds


def is_found_loosely(keyword: str, _: RuleHead, within_words: bool) -> bool:
    """Whether a `LooseScan` finds the keyword also as it is written, and as a whole."""
    return is_loose(keyword) and not within_words and (keyword[0] + keyword[-1]).isalnum()


def _words(keyword: str) -> list[str]:
    return "".join(one if one.isalnum() else " " for one in keyword).split()


def _reads_alike(keyword: str, written: str) -> bool:
    """Whether they differ in letters of one stroke alone."""
    return keyword.replace("l", "i") == written.replace("l", "i")


ONE_STROKE = Reading(methodcaller("replace", "l", "i"), str.__eq__)
"""A capital i passes for an l, and what passes for one of them for the other."""


class _Written(NamedTuple):
    """A keyword as its author wrote it."""

    breaks: tuple[bool, ...]
    """Between which letters a word ends."""

    def allows(self, gaps: Sequence[str]) -> bool:
        """Whether the keyword may be written with this between its letters."""
        if any(len(gap) > MOST_BETWEEN_WORDS for gap in gaps):
            return False
        within = [gap for gap, ends in zip(gaps, self.breaks, strict=True) if gap and not ends]
        if any(len(gap) > MOST_WITHIN for gap in within):
            return False
        if all(gaps):
            return True
        between = [gap for gap, ends in zip(gaps, self.breaks, strict=True) if ends]
        if not between:
            return not any(" " in gap for gap in within)
        if any(map(_ends_sentence, within)):
            return False
        by_signs = len(between) > 1 and all(gap.strip() for gap in between)
        return by_signs or not any(map(_ends_sentence, between))


def _ends_sentence(gap: str) -> bool:
    return " " in gap and any(KINDS[one] == CLAUSE_END or one in _SENTENCE_ENDS for one in gap)


class LooseKeywords:
    """The automaton over letters; built once, shared by all scans."""

    def __init__(
        self, keywords: Iterable[tuple[str, RuleHead]], reading: Reading = ONE_STROKE
    ) -> None:
        """Build from (normalised keyword, its rule); each is `is_loose`."""
        self.written: dict[str, set[_Written]] = defaultdict(set)
        """By the letters of a keyword, all ways in which keywords part them."""
        self.plain: set[str] = set()
        """Keywords as they are."""
        pairs: dict[tuple[str, RuleHead], None] = {}
        for keyword, rule in keywords:
            words = _words(keyword)
            self.plain.add(keyword)
            letters = "".join(words)
            breaks = [at == len(word) for word in words for at in range(1, len(word) + 1)]
            self.written[letters].add(_Written(tuple(breaks[:-1])))
            pairs[letters, rule] = None
        self.longest = max(map(len, self.written), default=0)
        self.automaton = KeywordAutomaton(
            ((letters, rule, False) for letters, rule in pairs), reading=reading
        )
        heads = {letters[:_HEAD] for letters in self.written}
        read_heads = set(map(reading.read, heads))
        self.begins = any_of(beginnings(read_heads, reading))
        """Finds where one may begin, also at the end of a text that goes on."""
        self.begins_here = any_of(beginnings(read_heads))
        """The same at the start of a word within another."""
        self.ways_to_begin = beginnings(
            {"".join(one) for head in heads for one in product(*map(_of_one_stroke, head))},
            AS_WRITTEN,
        )
        """Patterns of that for a text that was not read, by the default reading."""

    def begins_within(self, window: ShadowWindow, at: int) -> bool:
        """Whether one may begin at a word within another, from `at` on."""
        text, begun = self.automaton.reading.read(window.text), self.begins_here.match
        for start in window.camel_case.from_position(at):
            if begun(text, start - window.start):
                return True
        return False


def _of_one_stroke(letter: str) -> str:
    return "il" if letter in "il" else letter


class LooseScan:
    """One text's way through the letters."""

    def __init__(self, keywords: LooseKeywords, at: int = 0) -> None:
        """Read from `at` on; what lies before may be looked at."""
        self._keywords = keywords
        self._begun, self._begun_here = keywords.begins.search, keywords.begins_here.match
        self._read = keywords.automaton.reading.read
        self._node = 0
        self._at = at
        self._places: deque[int] = deque(maxlen=max(keywords.longest, 1))
        """Positions of the last letters since something may be growing."""
        self._gap = 0
        """Separators since the last letter."""
        self._awaiting_end: list[Found] = []
        """Keywords of which the text does not yet say whether their word ends there."""

    def skip_to(self, at: int) -> None:
        """Go on at a later place, nothing being growing."""
        self._at = at

    def feed(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> int:
        """Read what the window has gained; add the occurrences that are now certain to `found`.

        Returns:
            The first position at which a keyword may be growing; the end when none is.
        """
        end, at = window.end, self._at - window.start
        self._at = end
        text = self._read(window.text)
        while at < len(text):
            if not self._node:
                begun = (
                    self._beginning(window, text, at)
                    if window.camel_case.starts
                    else self._begun(text, at)
                )
                if begun is None:
                    break
                at, self._gap = begun.start(), 0
            at = self._read_on(window, text, at, found)
        node = self._node
        if node:
            self._node = node = self._viable(window, node)
        growing_at = self._places[-self._keywords.automaton.depth[node]] if node else end
        if self._awaiting_end:
            self._decide_awaiting(window, found, finished=finished)
            growing_at = min([growing_at, *[start for start, _, _ in self._awaiting_end]])
        return end if finished else growing_at

    def _beginning(self, window: ShadowWindow, text: str, at: int) -> re.Match[str] | None:
        """Where one may begin first, from `at` on, also at a word within another."""
        for start in window.camel_case.from_position(window.start + at):
            place = start - window.start
            begun = self._begun(text, at, place) or self._begun_here(text, place)
            if begun:
                return begun
            at = place
        return self._begun(text, at)

    def _read_on(self, window: ShadowWindow, text: str, at: int, found: list[Found]) -> int:
        """Read until nothing is growing; return how far."""
        automaton, places, start = self._keywords.automaton, self._places, window.start
        children, ends = automaton.children, automaton.ends
        node, gap = self._node, self._gap
        # `automaton.step` and all that is common written out: each letter of a phrase passes here.
        for at in range(at, len(text)):  # noqa: B020
            letter = text[at]
            kind = KINDS[letter]
            if kind <= CLAUSE_END:
                if not gap:
                    node = self._viable(window, node if children[node] else automaton.growing(node))
                gap += 1
                if gap > MOST_BETWEEN_WORDS:
                    node = 0
            else:
                gap = 0
                places.append(start + at)
                child = children[node].get(letter)
                node = (
                    self._viable(window, automaton.step(node, letter)) if child is None else child
                )
                if ends[node]:
                    self._occurrences(window, node, start + at + 1, found)
            if not node:
                break
        self._node, self._gap = node, gap
        return at + 1

    def _viable(self, window: ShadowWindow, node: int) -> int:
        """The longest beginning, of those that end here, that starts as a word does."""
        automaton, places = self._keywords.automaton, self._places
        while node and not starts_word(window, places[-automaton.depth[node]]):
            node = automaton.fallback[node]
        return node

    def _occurrences(self, window: ShadowWindow, node: int, end: int, found: list[Found]) -> None:
        keywords, reading = self._keywords, self._keywords.automaton.reading
        for keyword in keywords.automaton.ending_at(node):
            start = self._places[-keyword.length]
            if not starts_word(window, start):
                continue
            if window.between(start, end) not in keywords.plain:
                places = [*islice(self._places, len(self._places) - keyword.length, None)]
                written = "".join(map(window.character, places))
                forms = keywords.written[keyword.text]
                is_alike = reading.spells(keyword.text, written) or (
                    any(sum(form.breaks) > 1 for form in forms)
                    and _reads_alike(keyword.text, written)
                )
                if not is_alike:
                    continue
                gaps = [window.between(a + 1, b) for a, b in pairwise(places)]
                if not any(form.allows(gaps) for form in forms):
                    continue
            occurrence = Found(start, end, keyword.rule)
            (self._awaiting_end if keyword.ends_word else found).append(occurrence)

    def _decide_awaiting(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> None:
        awaiting, self._awaiting_end = self._awaiting_end, []
        for occurrence in awaiting:
            ends = ends_word(window, occurrence.end)
            if ends or (finished and occurrence.end == window.end):
                found.append(occurrence)
            elif ends is None and not finished:
                self._awaiting_end.append(occurrence)
