"""What limited callers ask for is reserved before and settled after; others pass as they are."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from modelmill_service_kit.errors import DomainError

from modelmill_gateway.answers.admitted_answers import Answers
from modelmill_gateway.answers.embed_texts import Embedded, Embedders
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.chat import ChatCall
from modelmill_gateway.domain.ledger.account import Account
from modelmill_gateway.domain.ledger.bounds import need, prompt_bound, texts_bound
from modelmill_gateway.domain.ledger.prices import Price
from modelmill_gateway.domain.ledger.rate_limit_headers import quota_headers
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.verdict import InputVerdict
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers
from modelmill_gateway.spending.meter import METER
from modelmill_gateway.spending.quotas import Quotas

PriceOf = Callable[[str, str], Price]
"""The price of a model that a tenant asks for by this name."""


class Embeds(Protocol):
    """See `modelmill_gateway.answers.embed_texts.EmbedTexts`."""

    async def __call__(
        self, model: str, texts: Sequence[str], caller: Caller, *, request_id: str
    ) -> Embedded: ...


class Judges(Protocol):
    """See `modelmill_gateway.guarding.judge_texts.JudgeTexts`."""

    async def __call__(self, texts: Sequence[str], caller: Caller) -> list[InputVerdict]: ...


@dataclass(frozen=True)
class MeteredAnswers:
    """AnswerChat behind limits.

    An answer without `max_tokens` gets `most_tokens` of a limited caller, so that what it can cost
    is bounded.
    """

    answers: Answers
    quotas: Quotas
    price_of: PriceOf
    most_tokens: int

    def __call__(
        self, call: ChatCall, caller: Caller, *, request_id: str, seconds: float | None = None
    ) -> AbstractAsyncContextManager[FilteredAnswers]:
        """As AnswerChat does.

        Raises:
            QuotaExceededError: a limit of the key or the tenant would be exceeded.
            QuotaUnknownError: whether one would be could not be found out in time.
        """
        accounts = self.quotas.of(caller)
        if not accounts:
            return self.answers(call, caller, request_id=request_id, seconds=seconds)
        return self._metered(accounts, call, caller, request_id, seconds)

    @asynccontextmanager
    async def _metered(
        self,
        accounts: list[Account],
        call: ChatCall,
        caller: Caller,
        request_id: str,
        seconds: float | None,
    ) -> AsyncIterator[FilteredAnswers]:
        if not call.sampling.max_tokens:
            call = replace(call, sampling=replace(call.sampling, max_tokens=self.most_tokens))
        price = self.price_of(caller.tenant, call.model)
        prompt = prompt_bound(call)
        needed = need(prompt, call.sampling.max_tokens * call.answers, price)
        async with self.quotas.admit(accounts, needed, prompt, price) as meter:
            METER.set(meter)
            try:
                answering = self.answers(call, caller, request_id=request_id, seconds=seconds)
                async with answering as answers:
                    answers.headers = quota_headers(accounts, self.quotas.now())
                    yield answers
            finally:
                METER.set(None)


@dataclass(frozen=True)
class MeteredEmbeds:
    """EmbedTexts behind limits."""

    embed_texts: Embeds
    quotas: Quotas
    price_of: PriceOf

    async def __call__(
        self, model: str, texts: Sequence[str], caller: Caller, *, request_id: str
    ) -> Embedded:
        """As EmbedTexts does; refusals as of answers. Only what was embedded is charged."""
        accounts = self.quotas.of(caller)
        if not accounts:
            return await self.embed_texts(model, texts, caller, request_id=request_id)
        price, bound = self.price_of(caller.tenant, model), texts_bound(texts)
        async with self.quotas.admit(accounts, need(bound, 0, price), bound, price) as meter:
            METER.set(meter)
            try:
                embedded = await self.embed_texts(model, texts, caller, request_id=request_id)
            finally:
                METER.set(None)
            return replace(embedded, headers=quota_headers(accounts, self.quotas.now()))


@dataclass(frozen=True)
class MeteredEmbedders:
    """Engines whose vectors are counted where the request of this task is limited.

    One that fails costs nothing; how far one came that is left is not known, so the bound counts.
    """

    engines: Embedders

    async def embed(
        self, texts: Sequence[str], *, tenant: str, asked: AskedModel, timeout: float
    ) -> Embedded:
        """As the engines do."""
        embedding = self.engines.embed(texts, tenant=tenant, asked=asked, timeout=timeout)
        meter = METER.get()
        if meter is None:
            return await embedding
        meter.asked()
        try:
            embedded = await embedding
        except DomainError:
            meter.refused()
            raise
        meter.prompt(embedded.tokens)
        return embedded


@dataclass(frozen=True)
class MeteredJudges:
    """JudgeTexts behind limits: it counts as a request, and has no tokens."""

    judge_texts: Judges
    quotas: Quotas

    async def __call__(self, texts: Sequence[str], caller: Caller) -> list[InputVerdict]:
        """As JudgeTexts does; refusals as of answers."""
        accounts = self.quotas.of(caller)
        if not accounts:
            return await self.judge_texts(texts, caller)
        async with self.quotas.admit(accounts, need(0, 0, Price()), 0, Price()):
            return await self.judge_texts(texts, caller)
