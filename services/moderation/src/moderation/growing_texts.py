"""Texts before the rules of a policy, or before its rules and judges."""

from typing import Protocol

from guard.judged_text import JudgedText
from guard.stream import StreamGuard
from guard.verdict import Direction, Released

from moderation.domain.policies import PolicyInForce
from moderation.judging import AsksJudges, asking, judge


class Growing(Protocol):
    """A text that comes in pieces; to be closed, whatever came of it."""

    async def push(self, text: str) -> Released:
        """What may be shown after the next piece; a verdict means that a block ended the text."""

    async def finish(self) -> Released:
        """The rest and the verdict."""

    async def close(self) -> None:
        """Ask nobody any more."""


def open_text(policy: PolicyInForce, direction: Direction, ask: AsksJudges) -> Growing:
    """A text at its beginning."""
    if policy.compiled.judges(direction):
        return JudgedText(policy.compiled, direction, asking(ask, policy))
    return RulesAlone(policy.compiled.stream(direction))


class RulesAlone:
    """A text on which nobody is asked."""

    def __init__(self, stream: StreamGuard) -> None:
        self._stream = stream

    async def push(self, text: str) -> Released:
        return await judge(text, self._stream.push)

    async def finish(self) -> Released:
        return self._stream.finish()

    async def close(self) -> None:
        """Nothing is open."""
