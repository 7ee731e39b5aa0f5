"""What one generation costs, and how it ended: figures, and the attributes of its span."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelmill_service_kit.errors import DomainError, InvalidInputError, NotFoundError

from modelmill_inference.domain.generation import AnswerReason
from modelmill_inference.generation_trace import GenerationTrace
from modelmill_inference.metrics import (
    FIRST_TOKEN_SECONDS,
    GENERATED_TOKENS,
    GENERATIONS,
    OUTPUT_TOKEN_SECONDS,
    PROMPT_TOKENS,
    PROVIDER,
    QUEUED,
    REQUEST_SECONDS,
    UNKNOWN_MODEL,
)


class GenerationAccount:
    """What is known of a generation so far.

    Args:
        operation: "chat" or "text_completion".
    """

    def __init__(self, operation: str, version_id: str) -> None:
        self.version_id = version_id
        self.trace = GenerationTrace(operation, version_id)
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.first_token_seconds = 0.0
        self.finish_reason: AnswerReason | None = None
        self.version_exists = False
        self._operation = operation
        self._arrived = time.monotonic()
        self._queued = False
        self._answers = 1

    def begin(self, prompt_tokens: int, answers: int = 1) -> None:
        """The version is there, and the engine is given the prompt for so many answers."""
        self.prompt_tokens = prompt_tokens
        self._answers = answers
        PROMPT_TOKENS.labels(self.version_id).inc(prompt_tokens)
        self._generated = GENERATED_TOKENS.labels(self.version_id)
        QUEUED.labels(self.version_id).inc()
        self._queued = True
        self.trace.start_phase("prefill")

    def add(self, tokens: int) -> None:
        """Count tokens; the first ones end the prefill."""
        if tokens and not self.completion_tokens:
            self._leave_queue()
            self.first_token_seconds = time.monotonic() - self._arrived
            FIRST_TOKEN_SECONDS.labels(*self._labels()).observe(self.first_token_seconds)
            self.trace.start_phase("decode")
        self.completion_tokens += tokens
        self._generated.inc(tokens)

    def end(self, outcome: str, error_type: str) -> None:
        """Count how it ended."""
        self._leave_queue()
        GENERATIONS.labels(outcome).inc()
        seconds = time.monotonic() - self._arrived
        REQUEST_SECONDS.labels(*self._labels(), error_type).observe(seconds)
        # Answers side by side take the time of one.
        each = self.completion_tokens / self._answers
        if self.finish_reason is not None and each > 1:
            OUTPUT_TOKEN_SECONDS.labels(*self._labels()).observe(
                (seconds - self.first_token_seconds) / (each - 1)
            )
        self.trace.end(
            self.version_id,
            self.finish_reason,
            input_tokens=self.prompt_tokens,
            output_tokens=self.completion_tokens,
        )

    def _labels(self) -> tuple[str, str, str]:
        model = self.version_id if self.version_exists else UNKNOWN_MODEL
        return (self._operation, PROVIDER, model)

    def _leave_queue(self) -> None:
        if self._queued:
            QUEUED.labels(self.version_id).dec()
            self._queued = False


@asynccontextmanager
async def accounted(operation: str, version_id: str) -> AsyncIterator[GenerationAccount]:
    """Count how the generation ended, whichever way the block is left."""
    account = GenerationAccount(operation, version_id)
    outcome = error_type = "internal"
    try:
        yield account
        outcome, error_type = account.finish_reason or outcome, ""
    except (asyncio.CancelledError, GeneratorExit):
        outcome, error_type = "cancelled", ""
        raise
    except DomainError as error:
        outcome = error_type = error.reason.lower()
        # All other refusals are by a version that the tenant has.
        account.version_exists |= not isinstance(error, NotFoundError | InvalidInputError)
        raise
    finally:
        account.end(outcome, error_type)
