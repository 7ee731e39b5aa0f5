"""The further ways to read a text for keywords, of which one search says that none begins."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from modelmill_guard.leet_scan import LeetKeywords, LeetScan
from modelmill_guard.loose import LooseKeywords, LooseScan, is_loose
from modelmill_guard.mixed import MixedKeywords, MixedScan
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.reading import any_of
from modelmill_guard.spaced import SpacedKeywords, SpacedScan, is_unspaced
from modelmill_guard.variants import LEET_SIGNS
from modelmill_guard.verdict import Found, RuleHead


class _Scan(Protocol):
    """One text's way through some keywords."""

    def feed(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> int:
        """As `KeywordScan.feed`."""

    def skip_to(self, at: int) -> None:
        """Go on at a later place, nothing being growing."""


class FurtherKeywords:
    """Their automata; built once, shared by all scans."""

    def __init__(
        self,
        keywords: Iterable[tuple[str, RuleHead]],
        leet: Sequence[tuple[str, RuleHead, bool]],
        mixed: Sequence[tuple[str, RuleHead, tuple[str, ...]]],
    ) -> None:
        """Build from normalised keywords, those that are also found in leetspeak, and Chinese
        ones with the variants of their rules."""
        pairs = list(keywords)
        in_ways = MixedKeywords(mixed)
        seen = {(keyword, rule) for keyword, rule, _ in mixed if is_unspaced(keyword)}
        spaced = SpacedKeywords(pair for pair in pairs if not (is_loose(pair[0]) or pair in seen))
        loose = LooseKeywords(pair for pair in pairs if is_loose(pair[0]))
        self.scans: list[Callable[[], _Scan]] = []
        begins: list[str] = []
        if spaced.longest:
            self.scans.append(partial(SpacedScan, spaced))
            begins += spaced.ways_to_begin
        if loose.longest:
            self.scans.append(partial(LooseScan, loose))
            begins += loose.ways_to_begin
        if not in_ways.is_empty:
            self.scans.append(partial(MixedScan, in_ways))
            begins += in_ways.ways_to_begin
        if leet:
            self.scans.append(partial(LeetScan, LeetKeywords(leet)))
            begins += map(re.escape, LEET_SIGNS)
        in_ascii = [way for way in begins if way[0].isascii()]
        self.begins_within = loose.begins_within
        first = "".join(sorted({way[0] for way in begins} - {way[0] for way in in_ascii}))
        self.begins_in_ascii = any_of(in_ascii)
        """Finds where any of them may begin in ASCII."""
        self.begins = any_of([*([f"[{first}]"] if first else ()), *in_ascii])
        """Finds places among which are all where any of them begins."""


class FurtherScans:
    """One text's way through them."""

    def __init__(self, keywords: FurtherKeywords) -> None:
        self._begun = keywords.begins.search
        self._begun_in_ascii = keywords.begins_in_ascii.search
        self._begins_within = keywords.begins_within
        self._scans = [scan() for scan in keywords.scans]
        self._are_idle = True
        self._at = 0

    def feed(self, window: ShadowWindow, found: list[Found], *, finished: bool) -> int:
        """As `KeywordScan.feed`."""
        end = window.end
        if self._are_idle:
            text = window.text
            begun = self._begun_in_ascii if text.isascii() else self._begun
            starts = window.camel_case.starts
            if begun(text, self._at - window.start) is None and not (
                starts and starts[-1] >= self._at and self._begins_within(window, self._at)
            ):
                self._at = end
                return end
            for scan in self._scans:
                scan.skip_to(self._at)
        frontier = end
        for scan in self._scans:
            scan_at = scan.feed(window, found, finished=finished)
            frontier = scan_at if scan_at < frontier else frontier
        self._are_idle, self._at = frontier == end, end
        return frontier
