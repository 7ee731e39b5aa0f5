"""A text as it reads without its escapes, judged beside the text as it stands.

Where the first escape begins, the rules' way through the text forks: one goes on through what is
written, the other through what it means, with the positions of the original. Once nothing is
growing on either, they would find the same again, and the second ends. So a text without escapes
is read once.
"""

from collections.abc import Sequence
from typing import NamedTuple

from modelmill_guard.escapes import Unescape
from modelmill_guard.found import RuleHead
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.scan import RuleScan


class Meant(NamedTuple):
    """A match in what escapes mean, in places of the original."""

    start: int
    offset: int
    """Which of the shadow characters of the first original one it starts with."""
    end: int
    rule: RuleHead


class UnescapedText:
    """From a fork on."""

    def __init__(self, window: ShadowWindow, scans: Sequence[RuleScan]) -> None:
        """Fork a window and its scans, which go on by themselves."""
        self._window = window.fork()
        self._scans = [scan.fork() for scan in scans]
        self._once, self._twice = Unescape(), Unescape()
        self._is_settled = False
        self.held_at = 0
        """From here on a rule that blocks or masks may be growing, as of the last `feed`."""
        self.decided_at = (0, 0)
        """All matches that start before this place and offset are known."""

    def feed(self, text: str, *, finished: bool) -> list[Meant]:
        """Read a piece; return what is certain."""
        window, found = self._window, list[Meant]()
        once = self._once.read(text, [1] * len(text), finished=finished)
        meant, lengths = self._twice.read(*once, finished=finished)
        window.append_spelled(meant, lengths)
        frontiers: list[int] = []
        for scan in self._scans:
            matches, frontier = scan.feed(window, finished=finished)
            frontiers.append(frontier)
            for start, end, rule in matches:
                first = window.original_start(start)
                place = first, window.offset(start), window.original_end(end), rule
                found.append(Meant(*place))
        decided = min(frontiers)
        self.held_at = window.original_start(frontiers[0])
        self.decided_at = window.original_start(decided), window.offset(decided)
        is_pending = bool(self._once.left or self._twice.left)
        self._is_settled = decided == window.end and not is_pending
        window.drop_before(decided - 1)
        return found

    def joins(self, window: ShadowWindow) -> bool:
        """Whether, where nothing grows in `window` either, the same would be found from here on."""
        return (
            self._is_settled
            and self._window.text[-1:] == window.text[-1:]
            and self._window.camel_case.capitals == window.camel_case.capitals
        )
