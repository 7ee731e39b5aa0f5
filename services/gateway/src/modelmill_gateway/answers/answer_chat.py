"""Answer a conversation: reserve, wait for room, find the model, judge, generate, guard."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_audit.trail import AuditTrail
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.policy import PolicyError
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.metrics import exemplar_of
from modelmill_service_kit.work_apart import WorkApart
from opentelemetry import trace

from modelmill_gateway.answers.admission_queue import CHARS_A_TOKEN, AdmissionQueue
from modelmill_gateway.domain.chat import ChatCall, CountedPrompt
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.exchanges import Exchange, texts_of
from modelmill_gateway.domain.ledger.account import Account
from modelmill_gateway.domain.ledger.budget import need, prompt_bound
from modelmill_gateway.domain.models import Assignment, sticky_key
from modelmill_gateway.domain.request_context import Deadline, RequestContext
from modelmill_gateway.domain.verdict import InputVerdict, refusal_of
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers
from modelmill_gateway.guarding.guarded_json import strings_together
from modelmill_gateway.guarding.judge_inputs import AskJudges, JudgeInputs
from modelmill_gateway.guarding.policy_book import PolicyBook
from modelmill_gateway.metrics import BLOCKED, FIRST_TEXT_SECONDS
from modelmill_gateway.ports import Engines, ExchangeLog, UsageRecords
from modelmill_gateway.routing.find_model import FindModel
from modelmill_gateway.routing.routed_engines import RoutedEngines
from modelmill_gateway.spending.quotas import PriceOfModel, Quotas

tracer = trace.get_tracer(__name__)

DEFAULT_TOKENS = 512
"""What an answer without a limit is taken for in the queue."""


def prompt_tokens(call: ChatCall) -> int:
    """Rough size of a call's prompt, for the queue."""
    chars = sum([len(turn.content) for turn in call.turns])
    if call.tools:
        chars += sum(map(len, call.beside_contents))
    return 1 + chars // CHARS_A_TOKEN


@dataclass(frozen=True)
class AnswerChat:
    """The use case behind every route that generates text, over HTTP and gRPC alike.

    An answer without `max_tokens` gets `most_tokens` of a limited caller, so that what it can cost
    is bounded.
    """

    quotas: Quotas
    queue: AdmissionQueue
    find_model: FindModel
    moderation: JudgeInputs
    engines: RoutedEngines
    policies: PolicyBook
    judges: AskJudges
    audit: AuditTrail
    usage: UsageRecords
    work: WorkApart
    price_of: PriceOfModel
    request_seconds: float
    most_tokens: int
    log: ExchangeLog | None = None

    def __call__(
        self, call: ChatCall, request: RequestContext
    ) -> AbstractAsyncContextManager[FilteredAnswers]:
        """Answers whose first piece is there; leaving the block stops the generation.

        Raises:
            QuotaExceededError: a limit of the key or the tenant would be exceeded.
            QuotaUnknownError: whether one would be could not be found out in time.
            FullError: it would not begin, or not end, in time; nothing was begun.
            ModelNotAllowedError, ModelNotFoundError: by the caller's key; none that can answer.
            ContentPolicyError: the policy blocks the input.
            BadRequestError: the prompt is too long.
            UnavailableError: moderation, policy or engine is not there.
            OverloadedError: the engine is full.
            DeadlineError: the time is over.
        """
        accounts = self.quotas.of(request.caller)
        return self._metered(accounts, call, request) if accounts else self._queued(call, request)

    @asynccontextmanager
    async def _metered(
        self, accounts: list[Account], call: ChatCall, request: RequestContext
    ) -> AsyncIterator[FilteredAnswers]:
        """Reserve before, settle after."""
        if not call.sampling.max_tokens:
            call = replace(call, sampling=replace(call.sampling, max_tokens=self.most_tokens))
        price, prompt = self.price_of(request.caller.tenant, call.model), prompt_bound(call)
        needed = need(prompt, call.sampling.max_tokens * call.answers, price)
        async with (
            self.quotas.admit(accounts, needed, prompt, price) as meter,
            self._queued(call, replace(request, meter=meter)) as answers,
        ):
            yield answers

    @asynccontextmanager
    async def _queued(
        self, call: ChatCall, request: RequestContext
    ) -> AsyncIterator[FilteredAnswers]:
        """Wait for room first."""
        deadline, is_answered = request.deadline(self.request_seconds), False
        tokens = prompt_tokens(call) + call.answers * (call.sampling.max_tokens or DEFAULT_TOKENS)
        place = await self.queue.place("answer", request.caller.tenant, tokens, deadline)
        try:
            async with self._answered(call, request, deadline) as answers:
                yield answers
            is_answered = True
        finally:
            self.queue.leave(place, answered=is_answered)

    @asynccontextmanager
    async def _answered(
        self, call: ChatCall, request: RequestContext, deadline: Deadline
    ) -> AsyncIterator[FilteredAnswers]:
        started, tenant, meter = time.perf_counter(), request.caller.tenant, request.meter
        with tracer.start_as_current_span("gateway.chat", record_exception=False) as span:
            request.caller.require_model(call.model)
            key = sticky_key(call, request.sticky_key)
            asked = await self.find_model.asked(tenant, call.model, key)
            policy = self.policies.of(tenant)
            span.set_attribute("gen_ai.operation.name", call.operation)
            span.set_attribute("gen_ai.provider.name", "modelmill")
            span.set_attribute("gen_ai.request.model", call.model)
            span.set_attribute("modelmill.policy.digest", policy.digest)
            call, judged_input = await self._judged(call, tenant, deadline)
            if call.moderation is not None and call.moderation.blocks_output:
                policy = await _strict(policy)
            if meter is not None:
                meter.asked()
            async with self.engines.generate(
                call, tenant=tenant, asked=asked, timeout=deadline.remaining()
            ) as pieces:
                ask = self.judges.of(policy, tenant, deadline)
                run = partial(self.work.run, tenant)
                answers = FilteredAnswers(
                    policy, pieces, started, call, judged_input, ask, run, meter
                )
                if self.log is not None and (asked.is_logged or request.caller.is_logged):
                    answers.transcript = []
                try:
                    await answers.begin()
                    yield answers
                finally:
                    self._log(answers, call, request)
                    self._record(_usage(answers, request, started, asked.assignment), call)
                    await answers.close()
                    _record_outcome(span, answers, call.model)
                    for judged in answers.judged_texts(tenant):
                        self.audit.record(judged)

    def _record(self, usage: UsageRecorded, call: ChatCall) -> None:
        """Keep what was used, with what it costs."""
        price = self.price_of(usage.tenant, call.model)
        usage.micros = price.cost(usage.prompt_tokens, usage.completion_tokens)
        self.usage.record(usage)

    def _log(self, answers: FilteredAnswers, call: ChatCall, request: RequestContext) -> None:
        """Keep what was said, where the alias or the key is logged."""
        if self.log is None or answers.transcript is None:
            return
        caller = request.caller
        exchange = Exchange(
            request_id=request.request_id,
            tenant=caller.tenant,
            user=call.user or caller.subject,
            key_id=caller.key_id,
            model=call.model,
            version_id=answers.version_id,
            variant=answers.variant,
            finish_reason=answers.end.finish_reason,
            at=time.time(),
            texts=texts_of(call, answers.transcript, answers.ends),
        )
        self.log.record(exchange)

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
            raise UnavailableError(
                "moderation masked the input, and the result does not fit the messages"
            )
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


def _record_outcome(span: trace.Span, answers: FilteredAnswers, model: str) -> None:
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
        FIRST_TEXT_SECONDS.labels(model).observe(answers.first_text_seconds, exemplar_of(span))
    BLOCKED.labels("output").inc(answers.blocked)


def _usage(
    answers: FilteredAnswers,
    request: RequestContext,
    started: float,
    assignment: Assignment | None,
) -> UsageRecorded:
    used, caller = answers.used, request.caller
    record = UsageRecorded(
        request_id=request.request_id,
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
        variant=answers.variant,
    )
    if assignment is not None:
        record.experiment.experiment_id = assignment.phase.experiment_id
        record.experiment.phase = assignment.phase.number
        record.experiment.arm = assignment.arm
        record.experiment.key_digest = assignment.key_digest
    record.at.GetCurrentTime()
    return record


@dataclass(frozen=True)
class CountPrompt:
    """Token count of a prompt. Nothing is generated, so no policy judges it."""

    queue: AdmissionQueue
    find_model: FindModel
    engines: Engines
    request_seconds: float

    async def __call__(self, call: ChatCall, request: RequestContext) -> CountedPrompt:
        """The count, after a wait for room if need be.

        Raises:
            FullError: the wait would be long.
            ModelNotAllowedError, ModelNotFoundError: by the caller's key; none that can answer.
            BadRequestError: it is too long, or the model's template does not take it.
            UnavailableError, DeadlineError: inference is not there, or late.
        """
        tenant, deadline = request.caller.tenant, request.deadline(self.request_seconds)
        async with self.queue.held("count", tenant, prompt_tokens(call), deadline):
            request.caller.require_model(call.model)
            asked = await self.find_model.asked(tenant, call.model)
            counted = await self.engines.count(
                call, tenant=tenant, asked=asked, timeout=deadline.remaining()
            )
        return replace(counted, variant=asked.variant)
