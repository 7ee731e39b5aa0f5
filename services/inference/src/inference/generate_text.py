"""Use case: one request for text, from messages to the parts of its answers and what it cost."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from inference.account_generation import GenerationAccount, accounted
from inference.admit_requests import Admissions, Turn
from inference.answer_writer import AnswerEnd, AnswerPart, AnswerWriter
from inference.domain.asking import Ask
from inference.domain.generation import (
    AnswerReason,
    EngineCannotError,
    GenerationRequest,
    plan_generation,
)
from inference.domain.grammar.held_form import HeldForm
from inference.domain.sampling import SamplingOptions, check_options
from inference.hold_answer import held_form, held_pieces
from inference.load_version import LoadedVersion
from inference.render_prompt import Prompt, prompt_tokens
from inference.side_by_side import side_by_side

SEEDS = 2**64
UNLIMITED_TOKENS = 512
"""What an answer without a limit holds of the budget: few become longer, and engines make room for
those by holding others up."""


class Versions(Protocol):
    """Where loaded versions are had; see `lease_version.VersionPool`."""

    def lease(self, tenant: str, version_id: str) -> AbstractAsyncContextManager[LoadedVersion]: ...


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

    def __init__(self, versions: Versions, admissions: Admissions) -> None:
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
            async with self._versions.lease(command.tenant, command.version_id) as version:
                account.version_exists = True
                queue = self._admissions.of(version)
                queue.foresee(command.tenant, command.deadline)
                with account.trace.phase("render"):
                    request, form = await _render(command, version)
                account.trace.start_phase("queue")
                async with queue.turn(_ask(command, request), command.deadline) as turn:
                    account.begin(len(request.prompt), command.options.answers)
                    answers = [
                        _Answer(index, request, form, command, version, account, turn).parts()
                        for index in range(command.options.answers)
                    ]
                    async with aclosing(side_by_side(answers)) as parts:
                        async for part in parts:
                            yield part
                    turn.ended = True


class _Answer:
    """One of the answers to a request; its seed is the request's and its number together."""

    def __init__(
        self,
        index: int,
        request: GenerationRequest,
        form: HeldForm | None,
        command: GenerateCommand,
        version: LoadedVersion,
        account: GenerationAccount,
        turn: Turn,
    ) -> None:
        self._index = index
        self._request = replace(request, seed=(request.seed + index) % SEEDS)
        self._form = form
        self._version = version
        self._account = account
        self._turn = turn
        offered = [tool["name"] for tool in command.prompt.offered]
        self._writer = AnswerWriter(version.tokenizer, command.options.stop, offered)
        self._tokens = 0

    async def parts(self) -> AsyncGenerator[AnswerPart, None]:
        answered = held_pieces(self._version, self._request, self._form)
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
                        written.text, end, self._index, written.logprobs, written.calls
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
        )


def _ask(command: GenerateCommand, request: GenerationRequest) -> Ask:
    limit = request.max_new_tokens
    return Ask(
        tenant=command.tenant,
        prompt_tokens=len(request.prompt),
        new_tokens=limit if command.options.max_new_tokens else min(limit, UNLIMITED_TOKENS),
        answers=command.options.answers,
    )


async def _render(
    command: GenerateCommand, version: LoadedVersion
) -> tuple[GenerationRequest, HeldForm | None]:
    if command.prompt.must_call:
        raise EngineCannotError("calls cannot be demanded yet; use tool_choice auto")
    request = plan_generation(
        await prompt_tokens(command.prompt, version),
        command.options,
        version.limits,
        version.engine.abilities,
        random_seed=secrets.randbits(63),
        tenant=command.tenant,
    )
    if command.options.constraint is None:
        return request, None
    form = await held_form(command.options.constraint, request.max_new_tokens)
    return replace(request, grammar=form.text), form
