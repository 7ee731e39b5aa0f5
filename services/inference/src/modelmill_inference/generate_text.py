"""Use case: generate text for one request, as a stream of answer parts and final usage."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.account_generation import GenerationAccount, accounted
from modelmill_inference.admit_requests import EngineQueues, RunningRequest
from modelmill_inference.answer_writer import AnswerEnd, AnswerPart, AnswerWriter
from modelmill_inference.constrained_answer import constrained_output, constrained_pieces
from modelmill_inference.domain.admission import AdmissionRequest
from modelmill_inference.domain.generation import (
    AnswerReason,
    GenerationRequest,
    plan_generation,
)
from modelmill_inference.domain.grammar.constrained_output import ConstrainedOutput
from modelmill_inference.domain.sampling import SamplingOptions, check_options
from modelmill_inference.forced_call import forced_call
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.render_prompt import Prompt, prompt_tokens
from modelmill_inference.resumed_answer import ended_by_deadline

Item = TypeVar("Item")
SEEDS = 2**64
UNLIMITED_TOKENS = 512
"""Tokens reserved for an answer without a limit: few are longer, and for those the engine delays
other requests."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """End of a source; `error` is set if it failed."""

    error: BaseException | None


async def interleaved(
    sources: Sequence[AsyncGenerator[Item, None]],
) -> AsyncGenerator[Item, None]:
    """Merge sources as items arrive; the order within each source is kept.

    Closing the generator, or the first error of a source, closes all sources.
    """
    if len(sources) == 1:
        async with aclosing(sources[0]) as only:
            async for item in only:
                yield item
        return
    readers = _Readers(sources)
    left = len(sources)
    try:
        while left:
            read = await readers.items.get()
            if not isinstance(read, _Ended):
                yield read
                continue
            if read.error is not None:
                raise read.error
            left -= 1
    finally:
        await readers.close()


class _Readers(Generic[Item]):
    """One task per source; all write into one queue."""

    def __init__(self, sources: Sequence[AsyncGenerator[Item, None]]) -> None:
        # One item per source: a slow reader applies back-pressure.
        self.items: asyncio.Queue[Item | _Ended] = asyncio.Queue(maxsize=len(sources))
        self._leaving = False
        self._sources = sources
        self._tasks = [asyncio.create_task(self._read(source)) for source in sources]

    async def _read(self, source: AsyncGenerator[Item, None]) -> None:
        error: BaseException | None = None
        try:
            async with aclosing(source):
                async for item in source:
                    await self.items.put(item)
        except BaseException as caught:
            # A source can be cancelled from within; without this the reader would wait forever.
            if self._leaving:
                raise
            error = caught
        await self.items.put(_Ended(error))

    async def close(self) -> None:
        """Close every source."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that was cancelled before its first step has not closed its source.
        for source in self._sources:
            await source.aclose()


@dataclass(frozen=True, slots=True)
class GenerateCommand:
    """A request with its resolved version."""

    tenant: str
    version_id: str
    prompt: Prompt
    options: SamplingOptions
    deadline: float | None = None
    """On the event loop's clock."""


class GenerateText:
    """Validates, renders and generates; closing the iterator frees the engine's slots."""

    def __init__(self, versions: VersionPool, admissions: EngineQueues) -> None:
        self._versions = versions
        self._admissions = admissions

    async def __call__(self, command: GenerateCommand) -> AsyncGenerator[AnswerPart, None]:
        """Stream the answers.

        Raises:
            NotFoundError: the tenant has no such version, or no engine runs its form.
            InvalidInputError: options, messages, prompt length or constraint are invalid; lists all
                errors of a kind.
            OverloadedError: the queue is full, or the deadline cannot be met; nothing was started.
            TooLargeError: more tokens than the engine can hold.
            DeadlineError: the deadline passed in the queue.
            UnavailableError: the engine died or is restarting, or this replica is stopping.
            PreconditionError: the version does not load, the engine lacks a requested feature, or
                its cache is too small for the prompt.
        """
        operation = "text_completion" if command.prompt.messages is None else "chat"
        async with accounted(operation, command.version_id) as account:
            command.prompt.check()
            check_options(command.options)
            async with self._versions.lease(
                command.tenant, command.version_id, command.deadline
            ) as version:
                account.version_exists = True
                queue = self._admissions.of(version)
                queue.refuse_early(command.tenant, command.deadline)
                with account.trace.phase("render"):
                    plan = await _plan(command, version)
                account.trace.start_phase("queue")
                async with queue.turn(_ask(command, plan.request), command.deadline) as turn:
                    account.begin(len(plan.request.prompt), command.options.answers)
                    answers = [
                        _Answer(index, plan, version, account, turn).parts()
                        for index in range(command.options.answers)
                    ]
                    async with aclosing(interleaved(answers)) as parts:
                        async for part in parts:
                            yield part
                    turn.ended = True


@dataclass(frozen=True, slots=True)
class _Plan:
    """The engine request, and how its answers are parsed."""

    request: GenerationRequest
    form: ConstrainedOutput | None
    stops: tuple[str, ...]
    offered: tuple[str, ...]
    """Names of functions that may be called."""
    frame: tuple[str, str]
    """Text before and after the answer of a forced call; the first part is in the prompt."""
    is_unlimited: bool
    """Neither the caller nor a constraint limits the length."""


class _Answer:
    """One answer of a request; its seed is the request's seed plus its index."""

    def __init__(
        self,
        index: int,
        plan: _Plan,
        version: LoadedVersion,
        account: GenerationAccount,
        turn: RunningRequest,
    ) -> None:
        self._index = index
        self._request = replace(plan.request, seed=(plan.request.seed + index) % SEEDS)
        self._form = plan.form
        self._version = version
        self._account = account
        self._message = turn
        self._ends_at = turn.ends_at() if plan.is_unlimited else None
        self._writer = AnswerWriter(version.tokenizer, plan.stops, plan.offered, plan.frame)
        self._tokens = self._accepted = 0

    async def parts(self) -> AsyncGenerator[AnswerPart, None]:
        answered = constrained_pieces(self._version, self._request, self._form)
        if self._ends_at is not None:
            answered = ended_by_deadline(answered, self._ends_at)
        async with aclosing(answered) as pieces:
            async for piece in pieces:
                written = self._writer.write(piece)
                self._tokens += written.tokens
                self._accepted += piece.accepted
                self._account.add(written.tokens, piece.accepted)
                self._message.add_tokens(written.tokens)
                end = None
                if written.finish_reason is not None:
                    end = self._end(written.finish_reason)
                if any((written.text, written.logprobs, written.calls, end)):
                    yield AnswerPart(
                        written.text,
                        end,
                        self._index,
                        written.logprobs,
                        written.calls,
                        self._version.version_id,
                        prompt_tokens=self._account.prompt_tokens,
                        tokens=self._tokens,
                    )
                if end:
                    return

    def _end(self, finish_reason: AnswerReason) -> AnswerEnd:
        self._account.finish_reason = finish_reason
        return AnswerEnd(
            finish_reason=finish_reason,
            prompt_tokens=self._account.prompt_tokens,
            completion_tokens=self._tokens,
            version_id=self._version.version_id,
            first_token_seconds=self._account.first_token_seconds,
            exact=self._version.engine.abilities.exact,
            stop_text=self._writer.stop_text,
            accepted_tokens=self._accepted,
        )


def _ask(command: GenerateCommand, request: GenerationRequest) -> AdmissionRequest:
    limit = request.max_new_tokens
    return AdmissionRequest(
        tenant=command.tenant,
        prompt_tokens=len(request.prompt),
        new_tokens=limit if command.options.max_new_tokens else min(limit, UNLIMITED_TOKENS),
        answers=command.options.answers,
    )


async def _plan(command: GenerateCommand, version: LoadedVersion) -> _Plan:
    tokens = await prompt_tokens(command.prompt, version, command.tenant)
    options, frame = command.options, ("", "")
    if command.prompt.must_call:
        if options.constraint is not None:
            raise InvalidInputError("an answer that must be a call has no other form. Ask for one")
        call = forced_call(version.tokenizer, command.prompt.offered)
        # Only the grammar may end it: a stop text inside the arguments would cut the call.
        options = replace(options, constraint=call.constraint, stop=())
        frame = (call.before, call.behind)
        [prefix] = await version.prompts.encode(command.tenant, [call.before])
        tokens = [*tokens, *prefix]
    request = plan_generation(
        tokens,
        options,
        version.limits,
        version.engine.abilities,
        random_seed=secrets.randbits(63),
        tenant=command.tenant,
    )
    form = None
    if options.constraint is not None:
        form = await constrained_output(options.constraint, request.max_new_tokens)
        request = replace(request, grammar=form.text)
    offered = tuple(tool["name"] for tool in command.prompt.offered)
    is_unlimited = form is None and not options.max_new_tokens
    return _Plan(request, form, options.stop, offered, frame, is_unlimited)
