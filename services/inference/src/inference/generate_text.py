"""Use case: one generation, from messages to text pieces and what it cost."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Protocol

from service_kit.errors import InvalidInputError
from tokenization import Turn

from inference.account_generation import GenerationAccount, accounted
from inference.domain.generation import (
    FinishReason,
    GenerationRequest,
    SamplingOptions,
    check_options,
    check_prompt_length,
    plan_generation,
)
from inference.load_version import LoadedVersion

LONG_CHARACTERS = 8_000
"""Longer prompts are encoded in a thread; for short ones the hop costs more than the work."""
ROLES = frozenset({"system", "user", "assistant", "tool"})


class Versions(Protocol):
    """Where loaded versions are had; see `lease_version.VersionPool`."""

    def lease(self, tenant: str, version_id: str) -> AbstractAsyncContextManager[LoadedVersion]: ...


@dataclass(frozen=True, slots=True)
class GenerateCommand:
    """What a caller asks for; the prompt is turns or plain text, not both."""

    tenant: str
    version_id: str
    turns: tuple[Turn, ...] | None
    text: str
    """Used as it is when there are no turns."""
    options: SamplingOptions


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """How a generation ended and what it cost."""

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    version_id: str
    first_token_seconds: float


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """New text; the last part carries the end."""

    text: str
    end: AnswerEnd | None = None


class GenerateText:
    """Checks, renders, generates; frees the slot when its iterator is closed."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    async def __call__(self, command: GenerateCommand) -> AsyncGenerator[AnswerPart, None]:
        """The answer as it comes.

        Raises:
            NotFoundError: the tenant has no such version, or no engine runs its form.
            InvalidInputError: options, messages or the prompt's length; all of a kind are listed.
            OverloadedError: full; nothing was begun.
            UnavailableError: the engine died or is being restarted.
            PreconditionError: the version does not load, or the prompt is too much for its cache.
        """
        operation = "text_completion" if command.turns is None else "chat"
        async with accounted(operation, command.version_id) as account:
            _check_turns(command.turns)
            check_options(command.options)
            async with self._versions.lease(command.tenant, command.version_id) as version:
                account.version_exists = True
                with account.trace.phase("render"):
                    request = await _render(command, version)
                account.begin(len(request.prompt))
                async with aclosing(_answer(request, version, account)) as parts:
                    async for part in parts:
                        yield part


async def _answer(
    request: GenerationRequest, version: LoadedVersion, account: GenerationAccount
) -> AsyncGenerator[AnswerPart, None]:
    async with aclosing(version.engine.generate(request)) as pieces:
        async for piece in pieces:
            account.add(piece.tokens)
            if piece.finish_reason is not None:
                account.finish_reason = piece.finish_reason
                yield AnswerPart(piece.text, _end(account, piece.finish_reason, version))
            elif piece.text:
                yield AnswerPart(piece.text)


def _end(
    account: GenerationAccount, finish_reason: FinishReason, version: LoadedVersion
) -> AnswerEnd:
    return AnswerEnd(
        finish_reason=finish_reason,
        prompt_tokens=account.prompt_tokens,
        completion_tokens=account.completion_tokens,
        version_id=version.version_id,
        first_token_seconds=account.first_token_seconds,
    )


async def _render(command: GenerateCommand, version: LoadedVersion) -> GenerationRequest:
    characters = len(command.text) + sum(len(turn["content"]) for turn in command.turns or ())
    check_prompt_length(characters, version.tokenizer.longest_token, version.limits)
    if characters > LONG_CHARACTERS:
        prompt = await asyncio.to_thread(_encode, command, version)
    else:
        prompt = _encode(command, version)
    return plan_generation(
        prompt, command.options, version.limits, random_seed=secrets.randbits(63)
    )


def _encode(command: GenerateCommand, version: LoadedVersion) -> list[int]:
    if command.turns is None:
        return version.tokenizer.encode(command.text)
    return version.tokenizer.encode_prompt(command.turns)


def _check_turns(turns: Sequence[Turn] | None) -> None:
    if turns is None:
        return
    if not turns:
        raise InvalidInputError("conversation has no messages")
    errors = [
        f"message {number} has role {turn['role'][:40]!r}; it must be one of {sorted(ROLES)}"
        for number, turn in enumerate(turns)
        if turn["role"] not in ROLES
    ]
    if errors:
        raise InvalidInputError(errors)
