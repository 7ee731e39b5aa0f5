"""Embed texts: find the model, judge each text, ask the engine for vectors."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_service_kit.errors import UnavailableError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.domain.ledger.prices import Price
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.verdict import InputVerdict, refusal_of
from modelmill_gateway.metrics import BLOCKED
from modelmill_gateway.ports import UsageRecords
from modelmill_gateway.spending.meter import METER


@dataclass(frozen=True)
class Embedded:
    """A vector for each text, as the bytes of little-endian floats, and what they cost."""

    version_id: str
    vectors: tuple[bytes, ...]
    tokens: int
    variant: str = ""
    """Of an alias that has some."""
    policy_digest: str = ""
    """Of the policy that the texts passed."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """What else its caller is to hear, over HTTP."""


class FindsModels(Protocol):
    """See `modelmill_gateway.routing.find_model.FindModel`."""

    async def asked(self, tenant: str, name: str) -> AskedModel: ...


class Judges(Protocol):
    """See `modelmill_gateway.guarding.judge_texts.JudgeTexts`."""

    async def __call__(
        self, texts: Sequence[str], caller: Caller, *, seconds: float | None = None
    ) -> list[InputVerdict]: ...


class Embedders(Protocol):
    """Engines that make vectors."""

    async def embed(
        self, texts: Sequence[str], *, tenant: str, asked: AskedModel, timeout: float
    ) -> Embedded: ...


@dataclass(frozen=True)
class EmbedTexts:
    """Vectors of texts that pass the policy on inputs, masked where it masks."""

    find_model: FindsModels
    judge_texts: Judges
    engines: Embedders
    usage: UsageRecords
    request_seconds: float
    price_of: Callable[[str, str], Price] = lambda _tenant, _model: Price()
    """See `modelmill_gateway.answers.answer_chat.AnswerChat`."""

    async def __call__(
        self,
        model: str,
        texts: Sequence[str],
        caller: Caller,
        *,
        request_id: str,
        seconds: float | None = None,
    ) -> Embedded:
        """One vector for each text, in their order.

        Args:
            seconds: what is left of the request's time, when that is less than our own limit.

        Raises:
            ModelNotAllowedError: the caller's key is limited to other models.
            ModelNotFoundError: the model is unknown, or no engine runs its form.
            ContentPolicyError: the policy blocks one of the texts.
            BadRequestError: a text is too long, or the model's engine makes no vectors.
            UnavailableError, OverloadedError, DeadlineError: as of an answer.
        """
        started = time.perf_counter()
        deadline = Deadline(min(self.request_seconds, seconds or self.request_seconds))
        caller.require_model(model)
        asked = await self.find_model.asked(caller.tenant, model)
        verdicts = await self._passed(texts, caller, deadline)
        record = _usage(caller, request_id, verdicts[0].policy_digest)
        passed = [verdict.text for verdict in verdicts]
        try:
            embedded = await self.engines.embed(
                passed, tenant=caller.tenant, asked=asked, timeout=deadline.remaining()
            )
        except asyncio.CancelledError:
            record.finish_reason, record.prompt_tokens = "cancelled", _charged()
            self._record(record, model, started)
            raise
        record.version_id, record.prompt_tokens = embedded.version_id, embedded.tokens
        self._record(record, model, started)
        return replace(embedded, variant=asked.variant, policy_digest=record.policy_digest)

    def _record(self, record: UsageRecorded, model: str, started: float) -> None:
        record.micros = self.price_of(record.tenant, model).cost(record.prompt_tokens, 0)
        record.total_seconds = time.perf_counter() - started
        record.at.GetCurrentTime()
        self.usage.record(record)

    async def _passed(
        self, texts: Sequence[str], caller: Caller, deadline: Deadline
    ) -> list[InputVerdict]:
        """Verdicts on all of them, none of which blocks."""
        verdicts = await self.judge_texts(texts, caller, seconds=deadline.remaining())
        for verdict in verdicts:
            if verdict.blocked:
                BLOCKED.labels("input").inc()
                raise refusal_of(verdict, "input")
        if len(verdicts) != len(texts):
            raise UnavailableError("moderation did not judge every text")
        return verdicts


def _charged() -> int:
    """Tokens of what was left, which nobody counted: as many as a budget is charged for it."""
    meter = METER.get()
    return 0 if meter is None else meter.used.prompt_tokens


def _usage(caller: Caller, request_id: str, policy_digest: str) -> UsageRecorded:
    return UsageRecorded(
        request_id=request_id,
        tenant=caller.tenant,
        caller=caller.subject,
        finish_reason="stop",
        policy_digest=policy_digest,
        key_id=caller.key_id,
    )
