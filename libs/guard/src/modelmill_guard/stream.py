"""The verdict on a text as it grows, and what of the text may be shown meanwhile."""

from collections.abc import Sequence
from typing import NamedTuple

from modelmill_guard.escapes import Unescape, first_escape, may_escape
from modelmill_guard.hidden import HiddenText, has_hidden
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.scan import RuleScan, RuleSet
from modelmill_guard.verdict import Action, Found, Released, RuleHead, RuleMatch, Verdict


class Meant(NamedTuple):
    """A match in what escapes mean, in places of the original.

    Where the first escape begins, the rules' way through the text forks: one goes on through what
    is written, the other through what it means, with the positions of the original. Once nothing is
    growing on either, they would find the same again, and the second ends. So a text without
    escapes is read once.
    """

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


MASK = "*"
_PIECE = 256
"""Characters that are read at a time as long as escapes are read, too: the sooner that may end."""


class StreamGuard:
    """Judges one text, given in pieces cut anywhere; released text and verdict ignore the cuts.

    Text is released once no block or mask rule can still turn it into a match. Flag rules hold
    nothing back.
    """

    def __init__(
        self, holding: RuleSet, watching: RuleSet, policy_digest: str, *, each_rule_once: bool
    ) -> None:
        """Use `CompiledPolicy.stream`; `holding` blocks or masks, `watching` only flags."""
        self._window = ShadowWindow()
        self._rule_sets = holding, watching
        self._holding = RuleScan(holding)
        self._watching = None if watching.is_empty else RuleScan(watching)
        self._hidden: HiddenText | None = None
        """Once the text has some."""
        self._unescaped: UnescapedText | None = None
        """While escapes may change what is found."""
        self._digest = policy_digest
        self._each_rule_once = each_rule_once
        self._held = _HeldText()
        self._shown: list[str] = []
        self._matches: list[tuple[int, int, str, int]] = []
        """Final matches: place in the original, rule, and which of the shadow characters of its
        first one it starts with, or -1 of a hidden one; some come twice. Numbers and text alone:
        the garbage collector leaves them alone."""
        self._rules: dict[str, RuleHead] = {}
        """Those that matched."""
        self._block_at: tuple[int, int] | None = None
        """Start of the first block, as a place and offset of a match; nothing from there on is
        released."""
        self._verdict: Verdict | None = None

    def push(self, text: str) -> Released:
        """Take the next piece.

        After a block this does nothing and releases nothing.

        Raises:
            ValueError: the text was finished.
        """
        if self._verdict is not None:
            if self._block_at is None:
                raise ValueError("the text was finished; a new text needs a new stream")
            return Released("", None)
        if self._unescaped is not None or may_escape(text):
            return self._push_escaped(text)
        return self._push_plain(text)

    def _push_escaped(self, text: str) -> Released:
        """Go on with and without escapes as long as that makes a difference."""
        shown: list[str] = []
        while text and self._verdict is None:
            if self._unescaped is None and (first := first_escape(text)) != 0:
                piece = text[:first]
            else:
                self._unescaped = self._unescaped or self._fork()
                piece = text[:_PIECE]
            text = text[len(piece) :]
            shown.append(self._push_plain(piece).text)
        return Released("".join(shown), self._verdict)

    def _fork(self) -> UnescapedText:
        scans = [self._holding, *([] if self._watching is None else [self._watching])]
        return UnescapedText(self._window, scans)

    def _push_plain(self, text: str) -> Released:
        self._window.append(text)
        self._held.parts.append(text)
        if self._hidden is None and not text.isascii() and has_hidden(text):
            self._hidden = HiddenText(*self._rule_sets)
        return self._advance(text, finished=False)

    def finish(self) -> Released:
        """Say that the text is complete; the answer always has the verdict."""
        if self._verdict is not None:
            return Released("", self._verdict)
        return self._advance("", finished=True)

    def _advance(self, text: str, *, finished: bool) -> Released:
        window = self._window
        holding, decided = self._holding.feed(window, finished=finished)
        if holding:
            self._record(holding)
        release_to = window.original_start(decided)
        if self._watching is not None:
            watching, watched_to = self._watching.feed(window, finished=finished)
            self._record(watching)
            decided = watched_to if watched_to < decided else decided
        if self._hidden is not None:
            first = window.original_length - len(text)
            for start, end, rule in self._hidden.feed(text, first, finished=finished):
                self._add(start, end, -1, rule)
            release_to = min(release_to, self._hidden.held_at)
        if self._unescaped is not None:
            release_to = min(release_to, self._read_unescaped(text, decided, finished=finished))
        released = self._release(release_to)
        if finished or (self._block_at is not None and self._is_known(self._block_at, decided)):
            self._verdict = self._judge()
        # One more than what may still match: a word boundary looks back one character.
        window.drop_before(decided - 1)
        return Released(released, self._verdict)

    def _read_unescaped(self, text: str, decided: int, *, finished: bool) -> int:
        """What else is found without escapes; returns up to where text may be shown."""
        assert self._unescaped is not None
        for start, offset, end, rule in self._unescaped.feed(text, finished=finished):
            self._add(start, end, offset, rule)
        held_at = self._unescaped.held_at
        if not finished and decided == self._window.end and self._unescaped.joins(self._window):
            self._unescaped = None
        return held_at

    def _record(self, found: Sequence[Found]) -> None:
        window = self._window
        for start, end, rule in found:
            first, offset = window.original_start(start), window.offset(start)
            self._add(first, window.original_end(end), offset, rule)

    def _add(self, start: int, end: int, place: int, rule: RuleHead) -> None:
        self._matches.append((start, end, rule.rule_id, place))
        self._rules[rule.rule_id] = rule
        if rule.action is Action.MASK:
            self._held.mask(start, end)
        elif rule.action is Action.BLOCK:
            block_at = start, place
            self._block_at = min(block_at, self._block_at or block_at)

    def _is_known(self, block_at: tuple[int, int], decided: int) -> bool:
        """Whether all matches are known that start no later than a block."""
        if self._hidden is not None and block_at >= (self._hidden.decided_at, -1):
            return False
        if self._unescaped is not None and block_at >= self._unescaped.decided_at:
            return False
        return block_at < (self._window.original_start(decided), self._window.offset(decided))

    def _release(self, end: int) -> str:
        if self._block_at is not None and self._block_at[0] < end:
            end = self._block_at[0]
        released = self._held.release(end)
        if released:
            self._shown.append(released)
        return released

    def _judge(self) -> Verdict:
        last = self._block_at
        matches: list[RuleMatch] = []
        before: tuple[int, int, str] | None = None
        untold = set(self._rules)
        for start, end, rule_id, place in sorted(self._matches):
            if rule_id not in untold or (last is not None and (start, place) > last):
                continue
            if self._each_rule_once:
                untold.remove(rule_id)
            if before != (start, end, rule_id):
                rule, before = self._rules[rule_id], (start, end, rule_id)
                matches.append(RuleMatch(rule_id, rule.category, rule.action, start, end))
        return Verdict(
            action=max((match.action for match in matches), default=Action.ALLOW),
            matches=tuple(matches),
            text="".join(self._shown) if last is None else "",
            policy_digest=self._digest,
        )


class _HeldText:
    """Original text that was not released yet, and where masks lie on it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        """The text as it came; joined only to be released, as much may come before that."""
        self.masks: list[tuple[int, int]] = []
        """First character and one past the last, in the whole text, in any order."""
        self._start = 0

    def mask(self, start: int, end: int) -> None:
        """Hide what lies from `start` to before `end`."""
        masks = self.masks
        # One rule after the other tells its matches from left to right: where it matches
        # everywhere, they are few masks.
        if masks and masks[-1][0] <= start <= masks[-1][1]:
            start, end = masks[-1][0], max(end, masks.pop()[1])
        masks.append((start, end))

    def release(self, end: int) -> str:
        """Take out what lies before `end`, masked characters replaced one for one."""
        length = end - self._start
        if length == 0:
            return ""
        text = "".join(self.parts)
        released, self.parts = text[:length], [text[length:]]
        self._start = end
        if self.masks:
            released = self._masked(released, end)
        return released

    def _masked(self, released: str, end: int) -> str:
        start, at = end - len(released), 0
        shown: list[str] = []
        for first, last in sorted(self.masks):
            first, last = max(first - start, at), min(last - start, len(released))
            if first < last:
                shown += released[at:first], MASK * (last - first)
                at = last
        self.masks = [span for span in self.masks if span[1] > end]
        return "".join([*shown, released[at:]])
