"""Hidden text in Unicode's tag block: invisible to people, readable by models.

Its characters repeat ASCII, and a shadow copy leaves them out. A passage of them is judged as a
text of its own, with the positions of the original. Up to `MOST_BETWEEN` other characters within
one are read as a space; more of them end it.
"""

import re

from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.scan import RuleScan, RuleSet
from modelmill_guard.verdict import Found

MOST_BETWEEN = 3
MOST_PASSAGES = 32
"""The last of so many goes on to the end of the text, so that a passage for every few characters
costs no more than its text. Flags of England are passages too."""
_TAGS = 0xE0000
_RUN = re.compile(f"[{chr(_TAGS + 0x20)}-{chr(_TAGS + 0x7E)}]+")
_SPELLED = {_TAGS + code: chr(code) for code in range(0x20, 0x7F)}


def has_hidden(text: str) -> bool:
    """Whether a character of it spells ASCII unseen."""
    return not text.isascii() and _RUN.search(text) is not None


class _HiddenWindow(ShadowWindow):
    """The shadow of a passage, whose characters may lie apart in the original."""

    def __init__(self) -> None:
        super().__init__()
        self._listed: list[int] = []
        self._origins = self._listed
        self.next = 0
        """One past the last unseen character."""

    def spell(self, run: str, first: int) -> None:
        """Go on by characters that touch, the first of which is at `first`."""
        spelled, places = run.translate(_SPELLED), [*range(first, first + len(run))]
        if self.end and first > self.next:
            spelled, places = f" {spelled}", [first, *places]
        self.next = first + len(run)
        if "  " in spelled or (self._after_space and spelled[0] == " "):
            spelled, places = self._without_repeated_spaces(spelled, places)
        if spelled:
            self._listed += places
            self._grow(spelled.lower(), spelled)

    def _without_repeated_spaces(self, spelled: str, places: list[int]) -> tuple[str, list[int]]:
        before = f"{' ' if self._after_space else '.'}{spelled}"
        pairs = zip(before, spelled, places, strict=False)
        kept = [(letter, place) for last, letter, place in pairs if letter != " " or last != " "]
        return "".join(letter for letter, _ in kept), [place for _, place in kept]

    def original_end(self, position: int) -> int:
        """As `ShadowWindow`; nothing belongs to an unseen character."""
        return self._listed[position - 1 - self.start] + 1

    def last_start(self) -> int:
        """As `ShadowWindow`: all are complete."""
        return self.end

    def _straighten(self, origins: list[int]) -> None:
        """They stay listed."""


class _Passage:
    """One passage and the rules' way through it."""

    def __init__(self, holding: RuleSet, watching: RuleSet) -> None:
        self.window = _HiddenWindow()
        self._scans = RuleScan(holding), RuleScan(watching)

    def feed(self, seen: int, *, finished: bool) -> tuple[list[Found], int, int]:
        """What is certain, in places of the original; where what holds, and anything, may grow."""
        window, found = self.window, list[Found]()
        window.original_length = seen
        frontiers: list[int] = []
        for scan in self._scans:
            matches, frontier = scan.feed(window, finished=finished)
            frontiers.append(frontier)
            for start, end, rule in matches:
                places = window.original_start(start), window.original_end(end)
                found.append(Found(*places, rule))
        held_at, decided_at = map(window.original_start, (frontiers[0], min(frontiers)))
        window.drop_before(min(frontiers) - 1)
        return found, held_at, decided_at


class HiddenText:
    """The passages of one text."""

    def __init__(self, holding: RuleSet, watching: RuleSet) -> None:
        self._rules = holding, watching
        self._passage: _Passage | None = None
        self._passages = 0
        self.held_at = 0
        """From here on a rule that blocks or masks may be growing, as of the last `feed`."""
        self.decided_at = 0
        """All matches that start before are known."""

    def feed(self, text: str, first: int, *, finished: bool) -> list[Found]:
        """Read a piece, which begins at `first`; return what is certain, in places of the text."""
        found: list[Found] = []
        for run in _RUN.finditer(text):
            self._end(first + run.start(), found)
            if self._passage is None:
                self._passage = _Passage(*self._rules)
                self._passages += 1
            self._passage.window.spell(run.group(), first + run.start())
        seen = first + len(text)
        self._end(seen, found)
        self.held_at = self.decided_at = seen
        if self._passage is not None:
            more, held_at, decided_at = self._passage.feed(seen, finished=finished)
            found += more
            if not finished:
                self.held_at, self.decided_at = held_at, decided_at
        return found

    def _end(self, position: int, found: list[Found]) -> None:
        """End the passage if too much lies between it and `position`."""
        passage = self._passage
        if passage is None or self._passages >= MOST_PASSAGES:
            return
        if position - passage.window.next > MOST_BETWEEN:
            found += passage.feed(position, finished=True)[0]
            self._passage = None
