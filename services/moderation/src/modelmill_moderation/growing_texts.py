"""Texts before the rules of a policy, or before its rules and judges."""

from functools import partial
from typing import Protocol

from modelmill_guard.judged_text import JudgedText, RunsRules
from modelmill_guard.stream import StreamGuard
from modelmill_guard.verdict import Direction, Released

from modelmill_moderation.domain.policies import PolicyInForce
from modelmill_moderation.judging import AsksJudges, asking


class Growing(Protocol):
    """A text that comes in pieces; to be closed, whatever came of it."""

    async def push(self, text: str) -> Released:
        """What may be shown after the next piece; a verdict means that a block ended the text."""

    async def finish(self) -> Released:
        """The rest and the verdict."""

    async def close(self) -> None:
        """Ask nobody any more."""


def open_text(
    policy: PolicyInForce, direction: Direction, ask: AsksJudges, run: RunsRules
) -> Growing:
    """A text at its beginning."""
    if policy.compiled.judges(direction):
        return JudgedText(policy.compiled, direction, asking(ask, policy), run)
    return RulesAlone(policy.compiled.stream(direction), run)


class RulesAlone:
    """A text on which nobody is asked."""

    def __init__(self, stream: StreamGuard, run: RunsRules) -> None:
        self._stream = stream
        self._run = run

    async def push(self, text: str) -> Released:
        return await self._run(partial(self._stream.push, text), len(text))

    async def finish(self) -> Released:
        return await self._run(self._stream.finish, 0)

    async def close(self) -> None:
        """Nothing is open."""
