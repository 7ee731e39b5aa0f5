"""Answer a conversation: find the model, judge the input, generate, guard what comes out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judged_text import RunsRules
from modelmill_guard.judging import AsksJudge
from modelmill_guard.policy import PolicyError
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.work_apart import WorkApart
from opentelemetry import trace

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.chat import ChatCall
from modelmill_gateway.domain.deadline import Deadline
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.ledger.prices import Price
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.split import sticky_key
from modelmill_gateway.domain.verdict import InputVerdict, refusal_of
from modelmill_gateway.guarding.ask_judges import AskJudges
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers
from modelmill_gateway.guarding.joined_strings import strings_together
from modelmill_gateway.metrics import BLOCKED, FIRST_TEXT_SECONDS
from modelmill_gateway.ports import AuditTrail, Engines, Moderation, Policies, UsageRecords
from modelmill_gateway.spending.meter import METER

tracer = trace.get_tracer(__name__)


class FindsModels(Protocol):
    """See `modelmill_gateway.routing.find_model.FindModel`."""

    async def asked(self, tenant: str, name: str, key: str | None = None) -> AskedModel: ...


@dataclass(frozen=True)
class AnswerChat:
    """The use case behind every route that generates text, over HTTP and gRPC alike."""

    find_model: FindsModels
    moderation: Moderation
    engines: Engines
    policies: Policies
    judges: AskJudges
    audit: AuditTrail
    usage: UsageRecords
    work: WorkApart
    request_seconds: float
    price_of: Callable[[str, str], Price] = lambda _tenant, _model: Price()
    """What a tenant pays for a model that it asks for by this name."""

    @asynccontextmanager
    async def __call__(
        self, call: ChatCall, caller: Caller, *, request_id: str, seconds: float | None = None
    ) -> AsyncIterator[FilteredAnswers]:
        """Answers whose first piece is there; leaving the block stops the generation.

        Args:
            seconds: what the caller itself allows, when that is less than our own limit.

        Raises:
            ModelNotAllowedError, ModelNotFoundError: by the caller's key; none that can answer.
            ContentPolicyError: the policy blocks the input.
            BadRequestError: the prompt is too long.
            UnavailableError: moderation, policy or engine is not there.
            OverloadedError: the engine is full.
            DeadlineError: the time is over.
        """
        started = time.perf_counter()
        deadline = Deadline(min(self.request_seconds, seconds or self.request_seconds))
        with tracer.start_as_current_span("gateway.chat", record_exception=False) as span:
            asked = await self._asked(call, caller)
            policy = self.policies.of(caller.tenant)
            span.set_attributes(_known(call, policy))
            call, judged_input = await self._judged(call, caller.tenant, deadline)
            if call.moderation is not None and call.moderation.blocks_output:
                policy = await _strict(policy)
            async with self.engines.generate(
                call, tenant=caller.tenant, asked=asked, timeout=deadline.remaining()
            ) as pieces:
                work = self._work(policy, caller.tenant, deadline)
                answers = FilteredAnswers(policy, pieces, started, call, judged_input, *work)
                try:
                    await answers.begin()
                    yield answers
                finally:
                    self._record(_usage(answers, caller, request_id, started), call)
                    await answers.close()
                    _tell(span, answers, call.model)
                    for judged in answers.judged_texts(caller.tenant):
                        self.audit.record(judged)

    def _work(
        self, policy: CompiledPolicy, tenant: str, deadline: Deadline
    ) -> tuple[AsksJudge, RunsRules]:
        """How judges of the policy are asked, and how its rules are run."""
        return self.judges.of(policy, tenant, deadline), partial(self.work.run, tenant)

    def _record(self, usage: UsageRecorded, call: ChatCall) -> None:
        """Keep what was used, with what it costs."""
        price = self.price_of(usage.tenant, call.model)
        usage.micros = price.cost(usage.prompt_tokens, usage.completion_tokens)
        self.usage.record(usage)

    async def _asked(self, call: ChatCall, caller: Caller) -> AskedModel:
        """Which model it is, if the caller may ask for it."""
        caller.require_model(call.model)
        return await self.find_model.asked(caller.tenant, call.model, sticky_key(call))

    async def _judged(
        self, call: ChatCall, tenant: str, deadline: Deadline
    ) -> tuple[ChatCall, InputVerdict]:
        """The call as the policy lets it pass: all it says judged as one text, masks applied."""
        contents, beside = [turn.content for turn in call.turns], call.beside_contents
        text = "\n".join([*contents, *beside])
        timeout = deadline.remaining()
        verdict = await self.moderation.check_input(text, tenant=tenant, timeout=timeout)
        if verdict.blocked or (_is_strict(call) and verdict.flagged):
            BLOCKED.labels("input").inc()
            raise refusal_of(verdict, call.field)
        await self._judge_joined(call, tenant, deadline)
        if verdict.text == text:
            return call, verdict
        if len(verdict.text) != len(text):
            raise UnavailableError("moderation masked the input in a way that cannot be followed")
        masked = _cut_like(verdict.text, [*contents, *beside])
        if masked[len(contents) :] != tuple(beside):
            # A tool or a call with masks would be another one.
            BLOCKED.labels("input").inc()
            raise refusal_of(verdict, "tools")
        return call.with_contents(masked[: len(contents)]), verdict

    async def _judge_joined(self, call: ChatCall, tenant: str, deadline: Deadline) -> None:
        """Refuse what a rule blocks once the strings of a JSON text are read together."""
        made = (it.arguments for turn in call.turns for it in turn.calls)
        for document in (*(turn.content for turn in call.turns), *made):
            for text in strings_together(document):
                verdict = await self.moderation.check_input(
                    text, tenant=tenant, timeout=deadline.remaining()
                )
                if verdict.blocked:
                    BLOCKED.labels("input").inc()
                    raise refusal_of(verdict, call.field)


async def _strict(policy: CompiledPolicy) -> CompiledPolicy:
    """The policy with all its rules blocking; the first time it is built, beside other answers."""
    try:
        return await asyncio.to_thread(policy.strict)
    except PolicyError as error:
        raise BadRequestError(
            f"moderation: the policy cannot block by all its rules: {error}", param="moderation"
        ) from error


def _is_strict(call: ChatCall) -> bool:
    """Whether the caller wants an input refused that any rule matches."""
    return call.moderation is not None and call.moderation.blocks_input


def _cut_like(masked: str, contents: Sequence[str]) -> tuple[str, ...]:
    """The turns in a text that was joined from `contents`; a mask keeps every length."""
    cut, start = [], 0
    for content in contents:
        cut.append(masked[start : start + len(content)])
        start += len(content) + 1
    return tuple(cut)


def _known(call: ChatCall, policy: CompiledPolicy) -> dict[str, str]:
    """What a span says from the beginning."""
    return {
        "gen_ai.operation.name": call.operation,
        "gen_ai.provider.name": "modelmill",
        "gen_ai.request.model": call.model,
        "modelmill.policy.digest": policy.digest,
    }


def _tell(span: trace.Span, answers: FilteredAnswers, model: str) -> None:
    """Say in trace and metrics how it ended; figures and words of ours only, never text."""
    reasons = [end.finish_reason for end in answers.ends]
    span.set_attribute("gen_ai.response.finish_reasons", reasons)
    if answers.version_id:
        span.set_attribute("gen_ai.response.model", answers.version_id)
    usage = answers.end.usage
    if usage is not None:
        span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
    if answers.first_text_seconds is not None:
        FIRST_TEXT_SECONDS.labels(model).observe(answers.first_text_seconds)
    BLOCKED.labels("output").inc(answers.blocked)


def _usage(
    answers: FilteredAnswers, caller: Caller, request_id: str, started: float
) -> UsageRecorded:
    meter = METER.get()
    # What a budget is charged is on record, also of an answer that was stopped.
    used = answers.used if meter is None else meter.used
    record = UsageRecorded(
        request_id=request_id,
        tenant=caller.tenant,
        caller=caller.subject,
        version_id=answers.version_id,
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        first_token_seconds=answers.first_piece_seconds,
        total_seconds=time.perf_counter() - started,
        finish_reason=answers.end.finish_reason,
        policy_digest=answers.policy_digest,
        key_id=caller.key_id,
    )
    record.at.GetCurrentTime()
    return record
