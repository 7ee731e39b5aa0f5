"""Patterns that are searched for only once one of their heads was seen.

The keyword automaton finds the heads; RE2 then follows the pattern for as long as a match of it may
be growing. Which matches there are is as in `pattern_scan`: leftmost longest, none overlapping.
"""

from collections.abc import Sequence

from modelmill_guard.found import Found, RuleHead, SeenHead
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.pattern import BoundedPattern, compile_pattern, ending_in
from modelmill_guard.pattern_scan import first_growing, first_match
from modelmill_guard.proof import proofs_of


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
