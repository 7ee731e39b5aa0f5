"""Texts that are judged or embedded, and no answers to them."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_service_kit.errors import DomainError

from modelmill_gateway.answers.admission_queue import AdmissionQueue, tokens_in
from modelmill_gateway.domain.chat import Embedded
from modelmill_gateway.domain.ledger.budget import Price, need, texts_bound
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.request_context import Deadline, RequestContext
from modelmill_gateway.domain.verdict import InputVerdict, refusal_of
from modelmill_gateway.guarding.judge_inputs import JudgeInputs
from modelmill_gateway.metrics import BLOCKED
from modelmill_gateway.ports import Engines, UsageRecords
from modelmill_gateway.routing.find_model import FindModel
from modelmill_gateway.spending.quotas import PriceOfModel, Quotas

AT_ONCE = 8
"""Texts of one call that moderation judges at a time, so that one call leaves room for others."""


@dataclass(frozen=True)
class JudgeTexts:
    """Moderation of texts, as of chat inputs; a limited caller is charged one request.

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


@dataclass(frozen=True)
class EmbedTexts:
    """Embeddings of texts that pass the policy on inputs, masked where it masks."""

    quotas: Quotas
    queue: AdmissionQueue
    find_model: FindModel
    moderation: JudgeInputs
    engines: Engines
    usage: UsageRecords
    price_of: PriceOfModel
    request_seconds: float

    async def __call__(self, model: str, texts: Sequence[str], request: RequestContext) -> Embedded:
        """One vector for each text, in their order. Only what was embedded is charged.

        Raises:
            ModelNotAllowedError: the caller's key is limited to other models.
            ModelNotFoundError: the model is unknown, or no engine runs its form.
            ContentPolicyError: the policy blocks one of the texts.
            BadRequestError: a text is too long, or the model's engine makes no vectors.
            QuotaExceededError, QuotaUnknownError, FullError, UnavailableError, OverloadedError,
                DeadlineError: as of an answer.
        """
        accounts = self.quotas.of(request.caller)
        if not accounts:
            return await self._embedded(model, texts, request)
        price, bound = self.price_of(request.caller.tenant, model), texts_bound(texts)
        async with self.quotas.admit(accounts, need(bound, 0, price), bound, price) as meter:
            embedded = await self._embedded(model, texts, replace(request, meter=meter))
            return replace(embedded, headers=meter.headers)

    async def _embedded(
        self, model: str, texts: Sequence[str], request: RequestContext
    ) -> Embedded:
        started, caller = time.perf_counter(), request.caller
        deadline = request.deadline(self.request_seconds)
        async with self.queue.held("embed", caller.tenant, tokens_in(texts), deadline):
            caller.require_model(model)
            asked = await self.find_model.asked(caller.tenant, model)
            verdicts = await self._passed(texts, caller.tenant, deadline)
            passed = [verdict.text for verdict in verdicts]
            record = _usage(request, verdicts[0].policy_digest)
            try:
                embedded = await self._asked(passed, asked, request, deadline)
            except asyncio.CancelledError:
                # Nobody counted what was left: as many as a budget is charged for it.
                charged = request.meter.used.prompt_tokens if request.meter is not None else 0
                record.finish_reason, record.prompt_tokens = "cancelled", charged
                self._record(record, model, started)
                raise
            record.version_id, record.prompt_tokens = embedded.version_id, embedded.tokens
            self._record(record, model, started)
        return replace(embedded, variant=asked.variant, policy_digest=record.policy_digest)

    async def _asked(
        self, texts: Sequence[str], asked: AskedModel, request: RequestContext, deadline: Deadline
    ) -> Embedded:
        """The engine's vectors, counted.

        One that fails costs nothing; how far one came that is left is not known, so the bound
        counts.
        """
        meter = request.meter
        if meter is not None:
            meter.asked()
        try:
            embedded = await self.engines.embed(
                texts, tenant=request.caller.tenant, asked=asked, timeout=deadline.remaining()
            )
        except DomainError:
            if meter is not None:
                meter.refused()
            raise
        if meter is not None:
            meter.prompt(embedded.tokens)
        return embedded

    def _record(self, record: UsageRecorded, model: str, started: float) -> None:
        record.micros = self.price_of(record.tenant, model).cost(record.prompt_tokens, 0)
        record.total_seconds = time.perf_counter() - started
        record.at.GetCurrentTime()
        self.usage.record(record)

    async def _passed(
        self, texts: Sequence[str], tenant: str, deadline: Deadline
    ) -> list[InputVerdict]:
        """Verdicts on all of them, none of which blocks."""
        verdicts = await verdicts_on(texts, self.moderation, tenant, deadline)
        for verdict in verdicts:
            if verdict.blocked:
                BLOCKED.labels("input").inc()
                raise refusal_of(verdict, "input")
        return verdicts


def _usage(request: RequestContext, policy_digest: str) -> UsageRecorded:
    caller = request.caller
    return UsageRecorded(
        request_id=request.request_id,
        tenant=caller.tenant,
        caller=caller.subject,
        finish_reason="stop",
        policy_digest=policy_digest,
        key_id=caller.key_id,
    )
