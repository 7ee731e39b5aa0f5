"""What both ways to judge a text need: policies, a place for the record, and a free event loop."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from guard.bundle import CompiledPolicy

from moderation.domain.judged import TextJudged

ResultT = TypeVar("ResultT")

LONG_TEXT_CHARACTERS = 8192
"""From here on judging takes milliseconds, which calls beside it would wait for."""


class Policies(Protocol):
    """Where policies come from."""

    def of(self, tenant: str) -> CompiledPolicy:
        """The policy that binds a tenant; PreconditionError when none does."""


class AuditTrail(Protocol):
    """Where verdicts are recorded."""

    def record(self, judged: TextJudged) -> None:
        """Take the record and return at once; never raises."""


async def judge(text: str, judgement: Callable[[str], ResultT]) -> ResultT:
    """`judgement(text)`, in a thread when the text is long."""
    if len(text) < LONG_TEXT_CHARACTERS:
        return judgement(text)
    return await asyncio.to_thread(judgement, text)
