"""Patterns over a growing text: each finds its leftmost longest matches, none overlapping."""

import re
from collections.abc import Sequence
from typing import Any

import re2

from modelmill_guard.found import Found, RuleHead
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.pattern import BoundedPattern, compile_pattern, ending_in
from modelmill_guard.proof import proofs_of
from modelmill_guard.remembered import LONGEST_REMEMBERED, remember

_UNANCHORED = re2._Anchor.UNANCHORED
_TOGETHER = 32
"""RE2's time to compile a closure grows with its square: 2 s for a hundred wide ones at once."""


class PatternSet:
    """The compiled patterns of some rules; built once, shared by all scans.

    Raises:
        PatternError: together the patterns are more than RE2's memory limit allows.
    """

    def __init__(self, patterns: Sequence[tuple[BoundedPattern, RuleHead]]) -> None:
        self.rules = tuple(rule for _, rule in patterns)
        self.matching = tuple(compile_pattern(pattern.source) for pattern, _ in patterns)
        self.proofs = proofs_of(pattern for pattern, _ in patterns)
        closures = [pattern.prefixes for pattern, _ in patterns]
        self.growing = tuple(compile_pattern(ending_in([closure])) for closure in closures)
        # Most pieces of most texts match nothing; a search or few find that out for all patterns.
        self.any_matching = compile_pattern("|".join(pattern.source for pattern, _ in patterns))
        self.any_open = tuple(
            _matching_or_growing([pattern for pattern, _ in patterns[start : start + _TOGETHER]])
            for start in range(0, len(patterns), _TOGETHER)
        )
        letters = [pattern.letters for pattern, _ in patterns]
        needed = [pattern.needed for pattern, _ in patterns]
        self.letters = "".join(sorted(frozenset[str]().union(*letters)))
        """All that matches may be spelled with, where `needed` is set."""
        self.needed = _one_of("".join(sorted(frozenset[str]().union(*needed))))
        """Finds characters of which every match has one; None when that cannot be told."""
        if not all(letters) or not all(needed):
            self.needed = None
        self.known: dict[str, int] = {}
        """Of short ends of texts, how long the part is in which a match may be growing."""


class PatternScan:
    """One text's way through a set of patterns.

    A match is certain once no text to come can lengthen it, or start another further left. Which
    matches there are then depends on the text alone, and not on how it was cut.
    """

    def __init__(self, patterns: PatternSet) -> None:
        self._patterns = patterns
        self._from = [0] * len(patterns.rules)
        """For each pattern, where its next match may start, unless `_first` is beyond it."""
        self._first = 0
        """The first position at which any match may still start."""
        self.growing_at = 0
        """The first position at which a match may still be growing, as of the last `feed`."""

    def feed(self, window: ShadowWindow, *, finished: bool) -> list[Found]:
        """Search what the window has gained; return the matches that are now certain."""
        if not self._from:
            self.growing_at = window.end
            return []
        text, patterns = window.text, self._patterns
        at, known = self._first - window.start, patterns.known
        if patterns.needed is not None and patterns.needed.search(text, at) is None:
            # Nothing is over, and nothing may be growing but in the last characters.
            at = len(text) if finished else max(at, len(text.rstrip(patterns.letters)))
            self._first = self.growing_at = window.start + at
            if at == len(text):
                return []
        # Of what comes before, a search from here sees whether a word goes on.
        tail = text[at - 1 :] if at > 0 else f" {text}"
        if finished or (back := known.get(tail)) is None:
            open_at = self._open_at(window, finished=finished)
            if open_at is None:
                return self._feed_each(window, finished=finished)
            back = window.end - open_at
            if not finished and len(tail) <= LONGEST_REMEMBERED:
                remember(known, tail, back)
        self._first = self.growing_at = window.end - back
        return []

    def _open_at(self, window: ShadowWindow, *, finished: bool) -> int | None:
        """Where a match may still be growing, or None when there is one that is over.

        Of a text that reaches its end from there, all other matches can wait: they start later.
        """
        end = window.end
        if finished:
            return (
                end
                if first_match(self._patterns.any_matching, window, self._first) is None
                else None
            )
        open_at = end
        for search in self._patterns.any_open:
            found_at, found_end = first_match(search, window, self._first) or (end, end)
            if found_end < end:
                return None
            open_at = min(open_at, found_at)
        return open_at

    def _feed_each(self, window: ShadowWindow, *, finished: bool) -> list[Found]:
        found: list[Found] = []
        self.growing_at = window.end
        for index in range(len(self._from)):
            growing_at = self._feed_one(index, window, found, finished=finished)
            self.growing_at = min(self.growing_at, growing_at)
        self._first = min(self._from)
        return found

    def _feed_one(
        self, index: int, window: ShadowWindow, found: list[Found], *, finished: bool
    ) -> int:
        """Collect one pattern's certain matches; return where it may still be growing."""
        patterns = self._patterns
        matching, proof = patterns.matching[index], patterns.proofs[index]
        rule, growing_at = patterns.rules[index], window.end if finished else -1
        start = max(self._from[index], self._first)
        while True:
            if growing_at < start:
                growing_at = first_growing(patterns.growing[index], window, start)
            match = first_match(matching, window, start)
            if match is None or match[0] >= growing_at:
                self._from[index] = max(start, growing_at)
                return growing_at
            proven = proof.of(window, match)
            if proven is None:
                start = match[0] + 1
                continue
            found.append(Found(*proven, rule))
            start = proven[1]


def _one_of(characters: str) -> re.Pattern[str] | None:
    return re.compile(f"[{re.escape(characters)}]") if characters else None


def _matching_or_growing(patterns: Sequence[BoundedPattern]) -> Any:
    """Matches first where one of them matches, or may match once the text goes on."""
    whole = "|".join(pattern.source for pattern in patterns)
    return compile_pattern(f"{whole}|{ending_in(pattern.prefixes for pattern in patterns)}")


def first_match(pattern: Any, window: ShadowWindow, start: int) -> tuple[int, int] | None:
    """The leftmost match that starts no earlier than `start`, in shadow positions."""
    # A position and not a slice: a word boundary looks at the character before it. What RE2 itself
    # is called with: its wrapper costs twice as much as a search of one word.
    text, data, at = window.text, window.encoded(), start - window.start
    if len(data) == len(text):
        first, last = pattern._regexp.Match(_UNANCHORED, data, at, len(data))[0]
        return None if first < 0 else (window.start + first, window.start + last)
    skipped = len(text[:at].encode())
    first, last = pattern._regexp.Match(_UNANCHORED, data, skipped, len(data))[0]
    if first < 0:
        return None
    found_at = start + len(data[skipped:first].decode())
    return found_at, found_at + len(data[first:last].decode())


def first_growing(pattern: Any, window: ShadowWindow, start: int) -> int:
    """Where a match may be growing, by the pattern's closure; the end when none may."""
    match = first_match(pattern, window, start)
    return window.end if match is None else match[0]
