"""Streaming moderation: the text that rules and judges have released so far."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judging import AsksJudge, Judging
from modelmill_guard.verdict import Action, Direction, Released, RuleMatch, Verdict

PIECE_CHARACTERS = 4096
"""Rules judge so many in a millisecond or two."""

ResultT = TypeVar("ResultT")


class RunsRules(Protocol):
    """How the work of the rules on so many characters is done: at once, or beside other work."""

    def __call__(self, work: Callable[[], ResultT], characters: int) -> Awaitable[ResultT]: ...


async def at_once(work: Callable[[], ResultT], characters: int) -> ResultT:
    """Where it comes up."""
    return work()


class JudgedText:
    """Judges one text, given in pieces: rules first, then judges on what the rules release.

    The verdict on a text that a judge blocks has what was found up to the end of that window. When
    a rule blocks, what lies before it in windows that are not complete is not shown.

    Leave it by `close`, which ends what is being asked.
    """

    def __init__(
        self,
        policy: CompiledPolicy,
        direction: Direction,
        ask: AsksJudge,
        run: RunsRules = at_once,
    ) -> None:
        self._policy = policy
        self._direction = direction
        self._run = run
        self._rules = policy.stream(direction)
        self._judging = Judging(policy.judges(direction), ask)
        self._original: list[str] = []
        self._shown: list[str] = []
        self._verdict: Verdict | None = None

    async def push(self, text: str) -> Released:
        """Take the next piece; see `StreamGuard.push`. A long one lets others have their turn.

        Raises:
            ValueError: the text was finished.
            Exception: what asking raised; nothing more of the text may be shown.
        """
        if self._verdict is not None and self._verdict.action is Action.BLOCK:
            return Released("", None)
        shown = [await self._push(text[:PIECE_CHARACTERS])]
        for start in range(PIECE_CHARACTERS, len(text), PIECE_CHARACTERS):
            if self._verdict is not None:
                break
            await asyncio.sleep(0)
            shown.append(await self._push(text[start : start + PIECE_CHARACTERS]))
        return Released("".join(shown), self._verdict)

    async def _push(self, text: str) -> str:
        self._original.append(text)
        released = await self._run(partial(self._rules.push, text), len(text))
        return (await self._advance(released)).text

    async def finish(self) -> Released:
        """Say that the text is complete; the answer always has the verdict. Raises like `push`."""
        if self._verdict is not None:
            return Released("", self._verdict)
        return await self._advance(await self._run(self._rules.finish, 0))

    async def close(self) -> None:
        """End what is being asked; nothing may be pushed after it."""
        await self._judging.close()

    async def _advance(self, rules: Released) -> Released:
        shown, verdict = await self._judging.push(rules.text), rules.verdict
        if verdict is not None:
            shown += await self._judging.finish(complete=verdict.action is not Action.BLOCK)
        self._shown.append(shown)
        if self._judging.blocked:
            verdict = await self._verdict_before_block()
        if verdict is not None:
            self._verdict = await self._run(partial(self._with_judges, verdict), 0)
        return Released(shown, self._verdict)

    async def _verdict_before_block(self) -> Verdict:
        blocked = self._judging.blocked
        last, end = max(match.start for match in blocked), blocked[0].end
        # What the rules have found by now depends on how far they were fed; this does not.
        text = "".join(self._original)[:end]
        found = await self._run(partial(self._rules_on, text), len(text))
        before = (m for m in found if m.start <= last and m.action < Action.BLOCK)
        return Verdict(Action.BLOCK, tuple(before), "", self._policy.digest)

    def _rules_on(self, text: str) -> tuple[RuleMatch, ...]:
        stream = self._policy.stream(self._direction)
        for start in range(0, len(text), PIECE_CHARACTERS):
            stream.push(text[start : start + PIECE_CHARACTERS])
        verdict = stream.finish().verdict
        assert verdict is not None, "finish always has the verdict"
        return verdict.matches

    def _with_judges(self, verdict: Verdict) -> Verdict:
        matches = [*verdict.matches, *self._judging.matches]
        action = max((match.action for match in matches), default=Action.ALLOW)
        return replace(
            verdict,
            action=action,
            matches=tuple(sorted(matches, key=lambda m: (m.start, m.end, m.rule_id, m.category))),
            text="" if action is Action.BLOCK else "".join(self._shown),
            unanswered=tuple(sorted(self._judging.unanswered)),
        )


async def judge_whole(
    policy: CompiledPolicy,
    text: str,
    direction: Direction,
    ask: AsksJudge,
    run: RunsRules = at_once,
) -> Verdict:
    """The verdict on a whole text: by construction the one its stream would get. Raises like it."""
    judged = JudgedText(policy, direction, ask, run)
    try:
        verdict = (await judged.push(text)).verdict or (await judged.finish()).verdict
    finally:
        await judged.close()
    assert verdict is not None, "finish always has the verdict"
    return verdict
