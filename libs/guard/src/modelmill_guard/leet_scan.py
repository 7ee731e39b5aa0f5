"""Streaming leetspeak search, active only after a character that may stand for a letter.

Without such a sign a place that reads as a keyword is the keyword itself, which is found anyway; so
the scans begin with the first sign, at the first character that is kept for what may be growing.
"""

import re
from collections.abc import Sequence

from modelmill_guard.keywords import KeywordAutomaton, KeywordScan
from modelmill_guard.loose import LooseKeywords, LooseScan, is_found_loosely, is_loose
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.spaced import SpacedKeywords, SpacedScan
from modelmill_guard.variants import LEET_SIGNS, LEETSPEAK, LEETSPEAK_APART
from modelmill_guard.verdict import Found, RuleHead

_SIGN = re.compile(f"[{re.escape(LEET_SIGNS)}]")


class LeetKeywords:
    """The automata; built once, shared by all scans."""

    def __init__(self, keywords: Sequence[tuple[str, RuleHead, bool]]) -> None:
        """Build from (normalised keyword, its rule, whether it may match within words)."""
        pairs = [(word, rule) for word, rule, _ in keywords]
        whole = [keyword for keyword in keywords if not is_found_loosely(*keyword)]
        self._whole = KeywordAutomaton(whole, reading=LEETSPEAK) if whole else None
        self._spaced = SpacedKeywords(
            [pair for pair in pairs if not is_loose(pair[0])], LEETSPEAK_APART
        )
        self._loose = LooseKeywords([pair for pair in pairs if is_loose(pair[0])], LEETSPEAK)

    def scans(self, at: int) -> list[KeywordScan | SpacedScan | LooseScan]:
        """Scans that read from `at` on."""
        scans: list[KeywordScan | SpacedScan | LooseScan] = []
        if self._whole is not None:
            scans.append(KeywordScan(self._whole, at))
        if self._spaced.longest:
            scans.append(SpacedScan(self._spaced, at))
        if self._loose.longest:
            scans.append(LooseScan(self._loose, at))
        return scans


class LeetScan:
    """One text's way through them."""

    def __init__(self, keywords: LeetKeywords) -> None:
        self._keywords = keywords
        self._at = 0
        self._scans: list[KeywordScan | SpacedScan | LooseScan] = []
        """While something may be growing that has a sign."""

    def skip_to(self, at: int) -> None:
        """Go on at a later place, nothing being growing."""
        self._at = at

    def feed(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> int:
        """As `KeywordScan.feed`."""
        at, end = self._at - window.start, window.end
        self._at = end
        if not self._scans:
            if _SIGN.search(window.text, at) is None:
                return end
            self._scans = self._keywords.scans(window.start)
        frontier = min(scan.feed(window, found, finished=finished) for scan in self._scans)
        if frontier == end:
            self._scans = []
        return frontier
