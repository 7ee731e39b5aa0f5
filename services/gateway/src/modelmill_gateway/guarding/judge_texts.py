"""Judge texts by the caller's policy, without answering them."""

import asyncio
from collections.abc import Sequence

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.domain.verdict import InputVerdict
from modelmill_gateway.ports import Moderation

AT_ONCE = 8
"""Texts of one call that moderation judges at a time, so that one call leaves room for others."""


class JudgeTexts:
    """The same verdicts as those that chat inputs pass.

    Args:
        request_seconds: how long all of the texts of one call may take together.
    """

    def __init__(self, moderation: Moderation, request_seconds: float) -> None:
        self._moderation = moderation
        self._request_seconds = request_seconds

    async def __call__(
        self, texts: Sequence[str], caller: Caller, *, seconds: float | None = None
    ) -> list[InputVerdict]:
        """One verdict for each text, in order.

        Args:
            seconds: what is left of the request's time, when that is less than our own limit.

        Raises:
            BadRequestError: a text is longer than moderation reads.
            UnavailableError: moderation is down, late, or has no valid policy.
            DeadlineError: the time is over.
        """
        allowed = min(self._request_seconds, seconds or self._request_seconds)
        deadline, room = Deadline(allowed), asyncio.Semaphore(AT_ONCE)

        async def judged(text: str) -> InputVerdict:
            async with room:
                return await self._moderation.check_input(
                    text, tenant=caller.tenant, timeout=deadline.remaining()
                )

        tasks = [asyncio.create_task(judged(text)) for text in texts]
        try:
            return [await task for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            # Nothing of this call goes on after it, whichever text ended it.
            await asyncio.gather(*tasks, return_exceptions=True)
