"""The rules of one direction, and one text's way through them."""

from collections import deque
from collections.abc import Iterable, Sequence
from copy import copy
from typing import TypeVar, cast

from modelmill_guard.further_scans import FurtherKeywords, FurtherScans
from modelmill_guard.keywords import KeywordAutomaton, KeywordScan
from modelmill_guard.leet_scan import LeetScan
from modelmill_guard.loose import LooseScan, is_found_loosely
from modelmill_guard.mixed import MixedScan
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.pattern import BoundedPattern
from modelmill_guard.pattern_scan import HeadedPatterns, HeadedScan, PatternScan, PatternSet
from modelmill_guard.spaced import SpacedScan, is_unspaced
from modelmill_guard.verdict import Found, RuleHead


class RuleSet:
    """Keywords and patterns, ready to scan texts."""

    def __init__(
        self,
        keywords: Iterable[tuple[str, RuleHead, bool]],
        patterns: Sequence[tuple[BoundedPattern, RuleHead]],
        leet: Sequence[tuple[str, RuleHead, bool]] = (),
        mixed: Sequence[tuple[str, RuleHead, tuple[str, ...]]] = (),
    ) -> None:
        keywords = list(keywords)
        self.headed = HeadedPatterns([both for both in patterns if both[0].heads])
        self.patterns = PatternSet([both for both in patterns if not both[0].heads])
        self.automaton = KeywordAutomaton(
            (one for one in keywords if not (is_unspaced(one[0]) or is_found_loosely(*one))),
            self.headed.heads,
        )
        pairs = [(keyword, rule) for keyword, rule, _ in keywords]
        self.further = FurtherKeywords(pairs, leet, mixed) if pairs else None
        self.is_empty = not keywords and not patterns


class RuleScan:
    """Finds the matches of a rule set in a growing text, and says what is decided."""

    def __init__(self, rules: RuleSet) -> None:
        self._keywords = KeywordScan(rules.automaton)
        self._further = FurtherScans(rules.further) if rules.further is not None else None
        self._headed = HeadedScan(rules.headed)
        self._patterns = PatternScan(rules.patterns) if rules.patterns.rules else None
        self._is_idle = rules.is_empty
        self._found: list[Found] = []
        """Certain, but beyond the frontier: a match that starts before them may still come."""

    def fork(self) -> "RuleScan":
        """A scan that has read as much and goes on by itself."""
        return _forked(self)

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
        if self._further is not None:
            further_at = self._further.feed(window, found, finished=finished)
            frontier = further_at if further_at < frontier else frontier
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


StateT = TypeVar("StateT")


def _forked(state: StateT) -> StateT:
    """A copy with a state of its own; rules and what is immutable are shared."""
    if isinstance(state, list):
        return cast(StateT, [_forked(one) for one in state])
    if isinstance(state, dict | deque):
        return copy(state)
    if not isinstance(state, _STATEFUL):
        return state
    twin = copy(state)
    for name, value in vars(state).items():
        setattr(twin, name, _forked(value))
    return twin


_STATEFUL = (
    RuleScan, KeywordScan, FurtherScans, SpacedScan, LooseScan, LeetScan, MixedScan,
    HeadedScan, PatternScan,
)  # fmt: skip
