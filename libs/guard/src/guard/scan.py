"""The rules of one direction, and one text's way through them."""

from collections import deque
from collections.abc import Iterable, Sequence
from copy import copy
from typing import TypeVar

from guard.found import Found, RuleHead
from guard.headed_scan import HeadedPatterns, HeadedScan
from guard.keywords import KeywordAutomaton, KeywordScan
from guard.loose import LooseKeywords, LooseScan, is_loose
from guard.normalise import ShadowWindow
from guard.pattern import BoundedPattern
from guard.pattern_scan import PatternScan, PatternSet
from guard.spaced import SpacedKeywords, SpacedScan, is_unspaced
from guard.variants import LEETSPEAK, LEETSPEAK_APART


class RuleSet:
    """Keywords and patterns, ready to scan texts."""

    def __init__(
        self,
        keywords: Iterable[tuple[str, RuleHead, bool]],
        patterns: Sequence[tuple[BoundedPattern, RuleHead]],
        leet: Sequence[tuple[str, RuleHead, bool]] = (),
    ) -> None:
        keywords = list(keywords)
        self.headed = HeadedPatterns([both for both in patterns if both[0].heads])
        self.patterns = PatternSet([both for both in patterns if not both[0].heads])
        self.automaton = KeywordAutomaton(
            (keyword for keyword in keywords if not is_unspaced(keyword[0])), self.headed.heads
        )
        self.leet = KeywordAutomaton(leet, reading=LEETSPEAK) if leet else None
        self.spaced_leet = SpacedKeywords(((word, rule) for word, rule, _ in leet), LEETSPEAK_APART)
        self.is_empty = not keywords and not patterns
        pairs = [(keyword, rule) for keyword, rule, _ in keywords]
        self.spaced = SpacedKeywords(pair for pair in pairs if not is_loose(pair[0]))
        self.loose = LooseKeywords(pair for pair in pairs if is_loose(pair[0]))


class RuleScan:
    """Finds the matches of a rule set in a growing text, and says what is decided."""

    def __init__(self, rules: RuleSet) -> None:
        self._keywords = KeywordScan(rules.automaton)
        self._spaced = SpacedScan(rules.spaced) if rules.spaced.longest else None
        self._loose = LooseScan(rules.loose) if rules.loose.longest else None
        self._leet = KeywordScan(rules.leet) if rules.leet is not None else None
        self._spaced_leet = SpacedScan(rules.spaced_leet) if rules.spaced_leet.longest else None
        self._headed = HeadedScan(rules.headed)
        self._patterns = PatternScan(rules.patterns) if rules.patterns.rules else None
        self._is_idle = rules.is_empty
        self._found: list[Found] = []
        """Certain, but beyond the frontier: a match that starts before them may still come."""

    def fork(self) -> "RuleScan":
        """A scan that has read as much and goes on by itself."""
        return _forked(self, (KeywordScan, SpacedScan, LooseScan, HeadedScan, PatternScan))

    def feed(self, window: ShadowWindow, *, finished: bool) -> tuple[list[Found], int]:
        """Read what the window has gained.

        Returns:
            The new final matches and the frontier: every match that starts before it is now known,
            with its end in the original, and no match to come starts before it.
        """
        if self._is_idle:
            return [], window.end
        found = self._found
        frontier = self._keywords.feed(window, found, finished=finished)
        if self._spaced is not None:
            spaced_at = self._spaced.feed(window, found, finished=finished)
            frontier = spaced_at if spaced_at < frontier else frontier
        if self._loose is not None:
            loose_at = self._loose.feed(window, found, finished=finished)
            frontier = loose_at if loose_at < frontier else frontier
        if self._leet is not None:
            leet_at = self._leet.feed(window, found, finished=finished)
            frontier = leet_at if leet_at < frontier else frontier
        if self._spaced_leet is not None:
            frontier = min(frontier, self._spaced_leet.feed(window, found, finished=finished))
        if self._keywords.head_ends or self._headed.open:
            heads = self._keywords.seen_heads()
            found += self._headed.feed(window, heads, finished=finished)
            frontier = min(frontier, self._headed.growing_at)
        if self._patterns is not None:
            found += self._patterns.feed(window, finished=finished)
            pattern_at = self._patterns.growing_at
            frontier = pattern_at if pattern_at < frontier else frontier
        if finished:
            frontier = window.end
        if not found:
            return [], frontier
        return self._decided(window, frontier, finished=finished)

    def _decided(
        self, window: ShadowWindow, frontier: int, *, finished: bool
    ) -> tuple[list[Found], int]:
        found = self._found
        if not finished:
            # Of a character that becomes several a match may end within; it may still gather marks.
            last = window.last_start()
            frontier = min([frontier, *[start for start, end, _ in found if end > last]])
        self._found = [match for match in found if match[0] >= frontier]
        return [match for match in found if match[0] < frontier] if self._found else found, frontier


ScanT = TypeVar("ScanT")


def _forked(scan: ScanT, parts: tuple[type, ...]) -> ScanT:
    """A copy with a state of its own; rules are shared."""
    twin = copy(scan)
    for name, value in vars(scan).items():
        if isinstance(value, list | dict | deque):
            setattr(twin, name, copy(value))
        elif isinstance(value, parts):
            setattr(twin, name, _forked(value, ()))
    return twin
