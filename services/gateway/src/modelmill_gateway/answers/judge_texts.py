"""Judge texts by the caller's policy, without answering them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_gateway.answers.admission_queue import AdmissionQueue, tokens_in
from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.domain.ledger.bounds import need
from modelmill_gateway.domain.ledger.prices import Price
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.domain.verdict import InputVerdict
from modelmill_gateway.guarding.judge_inputs import JudgeInputs
from modelmill_gateway.spending.quotas import Quotas

AT_ONCE = 8
"""Texts of one call that moderation judges at a time, so that one call leaves room for others."""


@dataclass(frozen=True)
class JudgeTexts:
    """The same verdicts as those that chat inputs pass; a limited caller pays a request for them.

    Args:
        request_seconds: how long all of the texts of one call may take together.
    """

    quotas: Quotas
    queue: AdmissionQueue
    moderation: JudgeInputs
    request_seconds: float

    async def __call__(self, texts: Sequence[str], request: RequestContext) -> list[InputVerdict]:
        """One verdict for each text, in order.

        Raises:
            QuotaExceededError, QuotaUnknownError, FullError: as of an answer.
            BadRequestError: a text is longer than moderation reads.
            UnavailableError: moderation is down, late, or has no valid policy.
            DeadlineError: the time is over.
        """
        accounts = self.quotas.of(request.caller)
        if not accounts:
            return await self._judged(texts, request)
        async with self.quotas.admit(accounts, need(0, 0, Price()), 0, Price()):
            return await self._judged(texts, request)

    async def _judged(self, texts: Sequence[str], request: RequestContext) -> list[InputVerdict]:
        tenant, deadline = request.caller.tenant, request.deadline(self.request_seconds)
        async with self.queue.held("judge", tenant, tokens_in(texts), deadline):
            return await verdicts_on(texts, self.moderation, tenant, deadline)


async def verdicts_on(
    texts: Sequence[str], moderation: JudgeInputs, tenant: str, deadline: Deadline
) -> list[InputVerdict]:
    """One verdict for each text, in order; errors as of `JudgeInputs`."""
    room = asyncio.Semaphore(AT_ONCE)

    async def judged(text: str) -> InputVerdict:
        async with room:
            timeout = deadline.remaining()
            return await moderation.check_input(text, tenant=tenant, timeout=timeout)

    tasks = [asyncio.create_task(judged(text)) for text in texts]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        # Nothing of this call goes on after it, whichever text ended it.
        await asyncio.gather(*tasks, return_exceptions=True)
