"""Use case: one generation, from messages to text pieces and what it cost."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from service_kit.errors import DomainError, InvalidInputError
from tokenization import Turn

from inference.domain.generation import (
    FinishReason,
    GenerationRequest,
    SamplingOptions,
    check_options,
    check_prompt_length,
    plan_generation,
)
from inference.generation_trace import GenerationTrace
from inference.load_version import LoadedVersion
from inference.measures import FIRST_TOKEN_SECONDS, REQUESTS

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
        arrived = time.monotonic()
        trace = GenerationTrace.begin(command.version_id)
        async with _accounted(trace) as account:
            _check_turns(command.turns)
            check_options(command.options)
            async with self._versions.lease(command.tenant, command.version_id) as version:
                with trace.phase("render"):
                    request = await _render(command, version)
                account.prompt_tokens = len(request.prompt)
                async with aclosing(_answer(request, version, account, arrived)) as parts:
                    async for part in parts:
                        yield part


class _Account:
    """What is known of a generation so far."""

    def __init__(self, trace: GenerationTrace) -> None:
        self.trace = trace
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.first_token_seconds = 0.0
        self.finish_reason: FinishReason | None = None

    def add(self, tokens: int, arrived: float) -> None:
        """Count tokens; the first ones end the prefill."""
        if tokens and not self.completion_tokens:
            self.first_token_seconds = time.monotonic() - arrived
            FIRST_TOKEN_SECONDS.observe(self.first_token_seconds)
            self.trace.start_phase("decode")
        self.completion_tokens += tokens


@asynccontextmanager
async def _accounted(trace: GenerationTrace) -> AsyncIterator[_Account]:
    """Count how the generation ended, and end its spans, whichever way the block is left."""
    account = _Account(trace)
    outcome = "internal"
    try:
        yield account
        outcome = account.finish_reason or outcome
    except (asyncio.CancelledError, GeneratorExit):
        outcome = "cancelled"
        raise
    except DomainError as error:
        outcome = error.reason.lower()
        raise
    finally:
        REQUESTS.labels(outcome=outcome).inc()
        trace.end(outcome, account.prompt_tokens, account.completion_tokens)


async def _answer(
    request: GenerationRequest, version: LoadedVersion, account: _Account, arrived: float
) -> AsyncGenerator[AnswerPart, None]:
    account.trace.start_phase("prefill")
    async with aclosing(version.engine.generate(request)) as pieces:
        async for piece in pieces:
            account.add(piece.tokens, arrived)
            if piece.finish_reason is not None:
                account.finish_reason = piece.finish_reason
                yield AnswerPart(piece.text, _end(account, piece.finish_reason, version))
            elif piece.text:
                yield AnswerPart(piece.text)


def _end(account: _Account, finish_reason: FinishReason, version: LoadedVersion) -> AnswerEnd:
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
