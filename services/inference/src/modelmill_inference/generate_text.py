"""Use case: one request for text, from messages to the parts of its answers and what it cost."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.account_generation import GenerationAccount, accounted
from modelmill_inference.admit_requests import Admissions, QueueTicket
from modelmill_inference.answer_writer import AnswerEnd, AnswerPart, AnswerWriter
from modelmill_inference.demand_call import demanded_call
from modelmill_inference.domain.admission import Ask
from modelmill_inference.domain.generation import (
    AnswerReason,
    GenerationRequest,
    plan_generation,
)
from modelmill_inference.domain.grammar.constrained_output import ConstrainedOutput
from modelmill_inference.domain.sampling import SamplingOptions, check_options
from modelmill_inference.hold_answer import constrained_output, held_pieces
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.render_prompt import Prompt, prompt_tokens
from modelmill_inference.resumed_answer import ended_in_time

Item = TypeVar("Item")
SEEDS = 2**64
UNLIMITED_TOKENS = 512
"""What an answer without a limit holds of the budget: few become longer, and engines make room for
those by holding others up."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A source has no more items, for this reason when it failed."""

    error: BaseException | None


async def side_by_side(
    sources: Sequence[AsyncGenerator[Item, None]],
) -> AsyncGenerator[Item, None]:
    """Items of all sources as they come, those of each in its order.

    Leaving it, and the first error of a source, closes all of them.
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
    """A task for each source, which puts what it reads into one queue."""

    def __init__(self, sources: Sequence[AsyncGenerator[Item, None]]) -> None:
        # One place each: a slow reader slows the sources down.
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
            # A source can also be cancelled from within; nobody would tell the reader of it.
            if self._leaving:
                raise
            error = caught
        await self.items.put(_Ended(error))

    async def close(self) -> None:
        """Close every source, wherever it is."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that was cancelled before its first step has not touched its source.
        for source in self._sources:
            await source.aclose()


@dataclass(frozen=True, slots=True)
class GenerateCommand:
    """What a caller asks for."""

    tenant: str
    version_id: str
    prompt: Prompt
    options: SamplingOptions
    deadline: float | None = None
    """By the event loop's clock."""


class GenerateText:
    """Checks, renders, generates; frees the slots when its iterator is closed."""

    def __init__(self, versions: VersionPool, admissions: Admissions) -> None:
        self._versions = versions
        self._admissions = admissions

    async def __call__(self, command: GenerateCommand) -> AsyncGenerator[AnswerPart, None]:
        """The answers as they come.

        Raises:
            NotFoundError: the tenant has no such version, or no engine runs its form.
            InvalidInputError: options, messages, the prompt's length or the constraint; all of a
                kind are listed.
            OverloadedError: full, or too busy for the deadline; nothing was begun.
            TooLargeError: more tokens than the engine has room for.
            DeadlineError: the deadline passed while it waited.
            UnavailableError: the engine died or is being restarted, or this replica stops.
            PreconditionError: the version does not load, the engine cannot do what is asked for, or
                the prompt is too much for its cache.
        """
        operation = "text_completion" if command.prompt.turns is None else "chat"
        async with accounted(operation, command.version_id) as account:
            command.prompt.check()
            check_options(command.options)
            async with self._versions.lease(
                command.tenant, command.version_id, command.deadline
            ) as version:
                account.version_exists = True
                queue = self._admissions.of(version)
                queue.foresee(command.tenant, command.deadline)
                with account.trace.phase("render"):
                    plan = await _plan(command, version)
                account.trace.start_phase("queue")
                async with queue.turn(_ask(command, plan.request), command.deadline) as turn:
                    account.begin(len(plan.request.prompt), command.options.answers)
                    answers = [
                        _Answer(index, plan, version, account, turn).parts()
                        for index in range(command.options.answers)
                    ]
                    async with aclosing(side_by_side(answers)) as parts:
                        async for part in parts:
                            yield part
                    turn.ended = True


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the engine is asked for, and how its answers are read."""

    request: GenerationRequest
    form: ConstrainedOutput | None
    stops: tuple[str, ...]
    offered: tuple[str, ...]
    """Functions that may be called."""
    frame: tuple[str, str]
    """What stands around the answer of a demanded call; the first is in the prompt."""
    is_unlimited: bool
    """Nobody said how long it may become, and no form has to be kept to its end."""


class _Answer:
    """One of the answers to a request; its seed is the request's and its number together."""

    def __init__(
        self,
        index: int,
        plan: _Plan,
        version: LoadedVersion,
        account: GenerationAccount,
        turn: QueueTicket,
    ) -> None:
        self._index = index
        self._request = replace(plan.request, seed=(plan.request.seed + index) % SEEDS)
        self._form = plan.form
        self._version = version
        self._account = account
        self._turn = turn
        self._ends_at = turn.ends_at() if plan.is_unlimited else None
        self._writer = AnswerWriter(version.tokenizer, plan.stops, plan.offered, plan.frame)
        self._tokens = 0

    async def parts(self) -> AsyncGenerator[AnswerPart, None]:
        answered = held_pieces(self._version, self._request, self._form)
        if self._ends_at is not None:
            answered = ended_in_time(answered, self._ends_at)
        async with aclosing(answered) as pieces:
            async for piece in pieces:
                written = self._writer.write(piece)
                self._tokens += written.tokens
                self._account.add(written.tokens)
                self._turn.hear(written.tokens)
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
        )


def _ask(command: GenerateCommand, request: GenerationRequest) -> Ask:
    limit = request.max_new_tokens
    return Ask(
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
        call = demanded_call(version.tokenizer, command.prompt.offered)
        # Only its form ends it: a stop text within the arguments would leave half a call.
        options = replace(options, constraint=call.constraint, stop=())
        frame = (call.before, call.behind)
        [beginning] = await version.prompts.encode(command.tenant, [call.before])
        tokens = [*tokens, *beginning]
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
