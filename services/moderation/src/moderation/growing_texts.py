"""Texts before the rules of a policy, or before its rules and judges."""

import asyncio
from typing import Protocol

from guard.judged_text import JudgedText
from guard.judging import AsksJudge
from guard.stream import StreamGuard
from guard.verdict import Direction, Released, Verdict

from moderation.domain.policies import PolicyInForce
from moderation.judging import AsksJudges, asking, judge

PIECE_CHARACTERS = 4096
"""Rules judge so many in a millisecond or two; then calls beside it have their turn."""


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
        return JudgedInTurns(policy, direction, asking(ask, policy))
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


class JudgedInTurns:
    """A text on which judges are asked; however long a piece is, it lets others have their turn."""

    def __init__(self, policy: PolicyInForce, direction: Direction, ask: AsksJudge) -> None:
        self._text = JudgedText(policy.compiled, direction, ask)

    async def push(self, text: str) -> Released:
        shown: list[str] = []
        verdict: Verdict | None = None
        for start in range(0, len(text), PIECE_CHARACTERS):
            released = await self._text.push(text[start : start + PIECE_CHARACTERS])
            shown.append(released.text)
            verdict = released.verdict
            if verdict is not None:
                break
            await asyncio.sleep(0)
        return Released("".join(shown), verdict)

    async def finish(self) -> Released:
        return await self._text.finish()

    async def close(self) -> None:
        await self._text.close()
