"""Judging of a stream by windows, after the rules."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modelmill_guard.judge import Judge, Window
from modelmill_guard.stream import MASK
from modelmill_guard.verdict import Action, RuleMatch

CONTEXT_CHARACTERS = 100
"""What a judge reads before a window, so that no phrase escapes by lying across two."""


class Windows:
    """Cuts a text, given in pieces cut anywhere, into windows of one size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._start = 0
        self._context = ""
        self._text = ""

    def push(self, text: str) -> Iterator[Window]:
        """The windows that are complete with this piece."""
        self._text += text
        while len(self._text) >= self.size:
            yield self._next(self.size)

    def finish(self) -> Iterator[Window]:
        """The last window, if there is text left."""
        if self._text:
            yield self._next(len(self._text))

    def _next(self, length: int) -> Window:
        window = Window(self._start, self._context, self._text[:length])
        self._start += length
        self._context = (self._context + window.text)[-CONTEXT_CHARACTERS:]
        self._text = self._text[length:]
        return window


MAX_ASKED_AT_ONCE = 8
"""Windows of one text that are being judged at a time."""


class Ruling(NamedTuple):
    """Verdict of a judge on a window."""

    matches: tuple[RuleMatch, ...]
    answered: bool = True
    """False: it gave no opinion, and the policy lets the window pass then."""


AsksJudge = Callable[[Judge, Window], Awaitable[Ruling]]
"""Asks one judge; raises where it gives no opinion and the policy is closed then."""


@dataclass(frozen=True)
class _Asked:
    judge: Judge
    order: tuple[int, bool]
    """End of the window, and whether the text's end cut it short: such a one comes last."""
    ruling: "asyncio.Task[Ruling]"

    @property
    def end(self) -> int:
        """One past the window's last character."""
        return self.order[0]


class Judging:
    """Holds a text, given in pieces cut anywhere, until each judge let its windows pass.

    Judges that only flag hold nothing back. Windows count in the order of their ends, those that
    the text's end cuts short last: the first that is blocked ends the text where it starts. Leave
    it by `close`, which ends what is being asked.
    """

    def __init__(self, judges: Sequence[Judge], ask: AsksJudge) -> None:
        self.matches: list[RuleMatch] = []
        """Found so far; after a block those of windows that count no later than the blocked one."""
        self.unanswered: set[str] = set()
        """Judges that gave no opinion."""
        self.blocked: tuple[RuleMatch, ...] = ()
        """The matches that ended the text, all with one end."""
        self._blocked_at = (0, False)
        """What they were taken from, as `_Asked.order` has it."""
        self.shown_to = 0
        """How much of the text left."""
        self._ask = ask
        self._windows = [(judge, Windows(judge.window)) for judge in judges]
        self._room = asyncio.Semaphore(MAX_ASKED_AT_ONCE)
        self._deciding: list[_Asked] = []
        """Of judges that block or mask, in the order of the windows' ends."""
        self._watching: list[_Asked] = []
        """Of judges that only flag."""
        self._passed = {judge.id: 0 for judge, _ in self._windows}
        """How far each judge let the text pass."""
        self._held = ""
        self._failed: BaseException | None = None
        """What asking raised first: also of a judge whose ruling no text waits for."""

    async def push(self, text: str) -> str:
        """What may be shown after the next piece, masks applied; nothing after a block.

        Raises:
            Exception: what asking raised; nothing more of the text may be shown.
        """
        if self.blocked:
            return ""
        self._held += text
        for judge, windows in self._windows:
            self._begin(judge, windows.push(text))
        if await self._settle(everything=False):
            return await self._before_block()
        if self._failed is not None:
            raise self._failed
        return self._show(self._frontier())

    async def finish(self, *, complete: bool = True) -> str:
        """The rest, once the text has ended. Raises like `push`.

        Args:
            complete: False when a rule ended it: then what no window has been made of is dropped.
        """
        if self.blocked:
            return ""
        if complete:
            for judge, windows in self._windows:
                self._begin(judge, windows.finish(), cut_short=True)
        end = self.shown_to + len(self._held)
        if await self._settle(everything=True):
            return await self._before_block()
        await self._watch(to=(end, True))
        return self._show(end if complete else self._frontier())

    async def close(self) -> None:
        """End what is being asked; nothing may be pushed after it."""
        rulings = [asked.ruling for asked in (*self._deciding, *self._watching)]
        for ruling in rulings:
            ruling.cancel()
        await asyncio.gather(*rulings, return_exceptions=True)
        self._deciding, self._watching = [], []

    def _begin(self, judge: Judge, windows: Iterable[Window], *, cut_short: bool = False) -> None:
        for window in windows:
            ruling = asyncio.ensure_future(self._ruling(judge, window))
            ruling.add_done_callback(self._notice)
            asked = _Asked(judge, (window.start + len(window.text), cut_short), ruling)
            if judge.action is Action.FLAG:
                self._watching.append(asked)
            else:
                self._deciding.append(asked)
                self._deciding.sort(key=lambda asked: (asked.order, asked.judge.id))

    async def _ruling(self, judge: Judge, window: Window) -> Ruling:
        async with self._room:
            return await self._ask(judge, window)

    def _notice(self, ruling: "asyncio.Task[Ruling]") -> None:
        if not ruling.cancelled():
            self._failed = self._failed or ruling.exception()

    async def _settle(self, *, everything: bool) -> bool:
        """Take in rulings in the order of their windows' ends; True when one of them blocks.

        Args:
            everything: else only those that are there, and those that text waits for.
        """
        while self._deciding:
            first = self._deciding[0]
            if not (everything or first.ruling.done() or self._is_waited_for()):
                break
            together = [asked for asked in self._deciding if asked.order == first.order]
            rulings = [await asked.ruling for asked in together]
            self._deciding = self._deciding[len(together) :]
            for asked, ruling in zip(together, rulings, strict=True):
                self._take(asked, ruling)
            found = [match for ruling in rulings for match in ruling.matches]
            self.blocked = tuple(match for match in found if match.action is Action.BLOCK)
            if self.blocked:
                self._blocked_at = first.order
                return True
        return False

    def _is_waited_for(self) -> bool:
        """Whether text is held for the first ruling, or for one behind it."""
        held_to = self.shown_to + len(self._held)
        return any(
            asked.judge.holds or asked.end + asked.judge.window < held_to
            for asked in self._deciding
        )

    async def _watch(self, *, to: tuple[int, bool]) -> None:
        """Take in what only flags, of windows that count no later."""
        for asked in self._watching:
            if asked.order <= to:
                self._take(asked, await asked.ruling)
        self._watching = [asked for asked in self._watching if asked.order > to]

    def _take(self, asked: _Asked, ruling: Ruling) -> None:
        self._passed[asked.judge.id] = asked.end
        self.matches += ruling.matches
        if not ruling.answered:
            self.unanswered.add(asked.judge.id)
        for match in ruling.matches:
            if match.action is Action.MASK:
                first, last = match.start - self.shown_to, match.end - self.shown_to
                self._held = self._held[:first] + MASK * (last - first) + self._held[last:]

    def _frontier(self) -> int:
        """How far text of complete windows may be shown."""
        frontier = self.shown_to + len(self._held)
        for judge, _ in self._windows:
            if judge.action > Action.FLAG:
                allowed = self._passed[judge.id] + (judge.window if judge.beside else 0)
                frontier = min(frontier, allowed)
        return frontier

    def _show(self, end: int) -> str:
        length = max(end - self.shown_to, 0)
        text, self._held = self._held[:length], self._held[length:]
        self.shown_to += length
        return text

    async def _before_block(self) -> str:
        # What a judge of longer windows has not judged by now stays here, too.
        text = self._show(min(self._frontier(), *(match.start for match in self.blocked)))
        await self._watch(to=self._blocked_at)
        await self.close()
        return text
