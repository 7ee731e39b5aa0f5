"""A growing text before rules and judges: what may be shown, whatever the cuts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from guard.bundle import CompiledPolicy
from guard.judge import Judge, Window
from guard.stream import MASK
from guard.verdict import Action, Direction, Released, RuleMatch, Verdict
from guard.windows import Windows

MAX_ASKED_AT_ONCE = 8
"""Windows of one text that are being judged at a time."""
_PIECE_CHARACTERS = 4096


class Ruling(NamedTuple):
    """What a judge says of a window."""

    matches: tuple[RuleMatch, ...]
    answered: bool = True
    """False: it gave no opinion, and the policy lets the window pass then."""


AsksJudge = Callable[[Judge, Window], Awaitable[Ruling]]
"""Asks one judge; raises where it gives no opinion and the policy is closed then."""


@dataclass(frozen=True)
class _Asked:
    judge: Judge
    end: int
    ruling: "asyncio.Task[Ruling]"


class JudgedText:
    """Judges one text, given in pieces: rules first, then judges on what the rules release.

    Each judge sees the text, masks applied, in windows at fixed places. Text leaves once every
    judge that holds it let its window pass; judges that only flag hold nothing back. Windows count
    in the order of their ends: the first that is blocked ends the text where it starts, and the
    verdict has what was found up to its end. When a rule blocks, what lies before it in windows
    that are not complete is not shown.

    Leave it by `close`, which ends what is being asked.
    """

    def __init__(self, policy: CompiledPolicy, direction: Direction, ask: AsksJudge) -> None:
        self._policy = policy
        self._direction = direction
        self._ask = ask
        self._rules = policy.stream(direction)
        self._windows = [(judge, Windows(judge.window)) for judge in policy.judges(direction)]
        self._room = asyncio.Semaphore(MAX_ASKED_AT_ONCE)
        self._deciding: list[_Asked] = []
        """Of judges that block or mask, in the order of the windows' ends."""
        self._watching: list[_Asked] = []
        """Of judges that only flag."""
        self._passed = {judge.id: 0 for judge, _ in self._windows}
        """How far each judge let the text pass."""
        self._matches: list[RuleMatch] = []
        self._unanswered: set[str] = set()
        self._original: list[str] = []
        self._released = ""
        """What the rules released and is not shown yet, masks of judges applied."""
        self._shown: list[str] = []
        self._shown_to = 0
        self._verdict: Verdict | None = None

    async def push(self, text: str) -> Released:
        """Take the next piece; see `StreamGuard.push`.

        Raises:
            ValueError: the text was finished.
            Exception: what asking raised; nothing more of the text may be shown.
        """
        if self._verdict is not None and self._verdict.action is Action.BLOCK:
            return Released("", None)
        self._original.append(text)
        released = self._rules.push(text)
        return await self._advance(released, finished=False)

    async def finish(self) -> Released:
        """Say that the text is complete; the answer always has the verdict. Raises like `push`."""
        if self._verdict is not None:
            return Released("", self._verdict)
        return await self._advance(self._rules.finish(), finished=True)

    async def close(self) -> None:
        """End what is being asked; nothing may be pushed after it."""
        rulings = [asked.ruling for asked in (*self._deciding, *self._watching)]
        for ruling in rulings:
            ruling.cancel()
        await asyncio.gather(*rulings, return_exceptions=True)
        self._deciding, self._watching = [], []

    async def _advance(self, rules: Released, *, finished: bool) -> Released:
        self._released += rules.text
        blocked_by_rule = rules.verdict is not None and rules.verdict.action is Action.BLOCK
        for judge, windows in self._windows:
            self._begin(judge, windows.push(rules.text))
            if finished and not blocked_by_rule:
                self._begin(judge, windows.finish())
        blocked = await self._settle(everything=rules.verdict is not None)
        if blocked:
            return await self._blocked(blocked)
        text = self._show(self._frontier(complete=finished and not blocked_by_rule))
        if rules.verdict is not None:
            await self._watched(to=self._shown_to + len(self._released))
            self._verdict = self._with_judges(rules.verdict)
        return Released(text, self._verdict)

    def _begin(self, judge: Judge, windows: Iterable[Window]) -> None:
        for window in windows:
            ruling = asyncio.ensure_future(self._ruling(judge, window))
            asked = _Asked(judge, window.start + len(window.text), ruling)
            if judge.action is Action.FLAG:
                self._watching.append(asked)
            else:
                self._deciding.append(asked)
                self._deciding.sort(key=lambda asked: (asked.end, asked.judge.id))

    async def _ruling(self, judge: Judge, window: Window) -> Ruling:
        async with self._room:
            return await self._ask(judge, window)

    async def _settle(self, *, everything: bool) -> list[RuleMatch]:
        """Take in rulings in the order of their windows' ends, as far as text waits for them.

        Returns:
            The matches that block, of the first windows that have any: all with one end.
        """
        while self._deciding:
            first = self._deciding[0]
            if not (everything or first.ruling.done() or self._is_waited_for()):
                break
            together = [asked for asked in self._deciding if asked.end == first.end]
            rulings = [await asked.ruling for asked in together]
            self._deciding = self._deciding[len(together) :]
            for asked, ruling in zip(together, rulings, strict=True):
                self._take(asked, ruling)
            blocked = [
                match
                for ruling in rulings
                for match in ruling.matches
                if match.action is Action.BLOCK
            ]
            if blocked:
                return blocked
        return []

    def _is_waited_for(self) -> bool:
        """Whether text is held for the first ruling, or for one behind it."""
        released_to = self._shown_to + len(self._released)
        return any(
            asked.judge.holds or asked.end + asked.judge.window < released_to
            for asked in self._deciding
        )

    async def _watched(self, *, to: int) -> None:
        """Take in what only flags, of windows that end there or before."""
        for asked in self._watching:
            if asked.end <= to:
                self._take(asked, await asked.ruling)
        self._watching = [asked for asked in self._watching if asked.end > to]

    def _take(self, asked: _Asked, ruling: Ruling) -> None:
        self._passed[asked.judge.id] = asked.end
        self._matches += ruling.matches
        if not ruling.answered:
            self._unanswered.add(asked.judge.id)
        for match in ruling.matches:
            if match.action is Action.MASK:
                self._mask(match.start, match.end)

    def _mask(self, start: int, end: int) -> None:
        first, last = start - self._shown_to, end - self._shown_to
        masked = MASK * (last - first)
        self._released = self._released[:first] + masked + self._released[last:]

    def _frontier(self, *, complete: bool) -> int:
        """How far text may be shown."""
        frontier = self._shown_to + len(self._released)
        if complete:
            return frontier
        for judge, _ in self._windows:
            if judge.action > Action.FLAG:
                allowed = self._passed[judge.id] + (judge.window if judge.beside else 0)
                frontier = min(frontier, allowed)
        return frontier

    def _show(self, end: int) -> str:
        length = max(end - self._shown_to, 0)
        text, self._released = self._released[:length], self._released[length:]
        self._shown_to += length
        self._shown.append(text)
        return text

    async def _blocked(self, blocked: list[RuleMatch]) -> Released:
        text = self._show(min(match.start for match in blocked))
        last, end = max(match.start for match in blocked), blocked[0].end
        await self._watched(to=end)
        await self.close()
        # What the rules have found by now depends on how far they were fed; this does not.
        found = self._rules_on("".join(self._original)[:end])
        before = (m for m in found if m.start <= last and m.action < Action.BLOCK)
        verdict = Verdict(Action.BLOCK, tuple(before), "", self._policy.digest)
        self._verdict = self._with_judges(verdict)
        return Released(text, self._verdict)

    def _rules_on(self, text: str) -> tuple[RuleMatch, ...]:
        stream = self._policy.stream(self._direction)
        for start in range(0, len(text), _PIECE_CHARACTERS):
            stream.push(text[start : start + _PIECE_CHARACTERS])
        verdict = stream.finish().verdict
        assert verdict is not None, "finish always has the verdict"
        return verdict.matches

    def _with_judges(self, verdict: Verdict) -> Verdict:
        matches = [*verdict.matches, *self._matches]
        action = max((match.action for match in matches), default=Action.ALLOW)
        return replace(
            verdict,
            action=action,
            matches=tuple(sorted(matches, key=lambda m: (m.start, m.end, m.rule_id, m.category))),
            text="" if action is Action.BLOCK else "".join(self._shown),
            unanswered=tuple(sorted(self._unanswered)),
        )


async def judge_whole(
    policy: CompiledPolicy, text: str, direction: Direction, ask: AsksJudge
) -> Verdict:
    """The verdict on a whole text: by construction the one its stream would get. Raises like it."""
    judged = JudgedText(policy, direction, ask)
    try:
        for start in range(0, len(text), _PIECE_CHARACTERS):
            verdict = (await judged.push(text[start : start + _PIECE_CHARACTERS])).verdict
            if verdict is not None:
                return verdict
        verdict = (await judged.finish()).verdict
    finally:
        await judged.close()
    assert verdict is not None, "finish always has the verdict"
    return verdict
