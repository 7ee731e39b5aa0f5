"""Pattern scan of a growing text: each pattern finds leftmost longest matches, none overlapping.

Some matches must prove themselves, by a check digit or a date, before they count. A pattern with
heads is searched for only once the keyword automaton saw one of them; RE2 then follows it for as
long as a match of it may be growing.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import re2

from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.pattern import BoundedPattern, compile_pattern, ending_in
from modelmill_guard.remembered import LONGEST_REMEMBERED, remember
from modelmill_guard.verdict import Found, RuleHead, SeenHead

_WORD_END = re.compile(r"\w\b", re.ASCII)
"""What RE2's `\\b` takes for the end of a word."""


class Proof:
    """What a pattern's certain matches are taken for."""

    def __init__(self, pattern: BoundedPattern) -> None:
        self._verify = pattern.verify
        self._shortens = pattern.shortens
        self._matching: Any = compile_pattern(pattern.source) if pattern.shortens else None

    def of(self, window: ShadowWindow, match: tuple[int, int]) -> tuple[int, int] | None:
        """What is found: all, a part, or the longest shorter match that verifies; else None.

        The match is certain, so this depends on the text alone, like the match itself.
        """
        if self._verify is None:
            return match
        start, end = match
        text = window.text[start - window.start : end - window.start]
        for length in _lengths(text) if self._shortens else [len(text)]:
            # Proofs come first: they are cheap, and few hold. These patterns end with a word, so
            # that a slice has the boundaries that the text has.
            offset = self._verify(text[:length])
            if offset is not None and (
                length == len(text) or self._matching.fullmatch(text[:length]) is not None
            ):
                return start + offset, start + length
        return None


def proofs_of(patterns: Iterable[BoundedPattern]) -> tuple[Proof, ...]:
    """One for each."""
    return tuple(map(Proof, patterns))


def _lengths(text: str) -> list[int]:
    """The whole length, then every shorter one at which a word ends, longest first."""
    ends = [found.end() for found in _WORD_END.finditer(text) if found.end() < len(text)]
    return [len(text), *reversed(ends)]


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


class HeadedPatterns:
    """Patterns with heads, compiled; built once, shared by all scans."""

    def __init__(self, patterns: Sequence[tuple[BoundedPattern, RuleHead]]) -> None:
        """Each of `patterns` has heads."""
        self.rules = tuple(rule for _, rule in patterns)
        self.matching = tuple(compile_pattern(pattern.source) for pattern, _ in patterns)
        self.growing = tuple(
            compile_pattern(ending_in([pattern.prefixes])) for pattern, _ in patterns
        )
        self.proofs = proofs_of(pattern for pattern, _ in patterns)
        self.heads = [
            (head, index, pattern.at_boundary)
            for index, (pattern, _) in enumerate(patterns)
            for head in sorted(pattern.heads)
        ]
        """Head, number of its pattern, whether it counts only at a word boundary."""


class HeadedScan:
    """One text's way through them."""

    def __init__(self, patterns: HeadedPatterns) -> None:
        self._patterns = patterns
        self.open: dict[int, int] = {}
        """Patterns of which a match may be growing, and where the next one may start."""
        self._after: dict[int, int] = {}
        """Where the last match of a pattern ended; the next cannot start before."""
        self.growing_at = 0
        """The first position at which a match may still be growing, as of the last `feed`."""

    def feed(
        self, window: ShadowWindow, seen: Sequence[SeenHead], *, finished: bool
    ) -> list[Found]:
        """Follow what is open in what the window has gained; return what is now certain."""
        self.growing_at = window.end
        found: list[Found] = []
        # Of what was dropped no match can start; the one character before that is there to look at.
        earliest = window.start + 1 if window.start else 0
        for index, head_start in seen:
            start = max(head_start, earliest, self._after.get(index, 0))
            self.open[index] = min(start, self.open.get(index, start))
        for index in list(self.open):
            still_at = self._follow(index, window, found, finished=finished)
            if still_at < window.end:
                self.open[index] = still_at
                self.growing_at = min(self.growing_at, still_at)
            else:
                del self.open[index]
        return found

    def _follow(
        self, index: int, window: ShadowWindow, found: list[Found], *, finished: bool
    ) -> int:
        """Collect one pattern's certain matches; return where it may still be growing."""
        patterns, start = self._patterns, self.open[index]
        still_at = window.end
        if not finished:
            still_at = first_growing(patterns.growing[index], window, start)
        while start < still_at:
            match = first_match(patterns.matching[index], window, start)
            if match is None or match[0] >= still_at:
                break
            proven = patterns.proofs[index].of(window, match)
            if proven is not None:
                found.append(Found(*proven, patterns.rules[index]))
            start = self._after[index] = proven[1] if proven else match[0] + 1
            if not finished and start > still_at:
                still_at = first_growing(patterns.growing[index], window, start)
        return max(start, still_at)
