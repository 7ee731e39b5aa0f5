"""Metrics and span attributes of one generation."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from modelmill_service_kit.errors import DomainError, InvalidInputError, NotFoundError
from opentelemetry import trace
from opentelemetry.trace import Span

from modelmill_inference.domain.generation import AnswerReason
from modelmill_inference.metrics import (
    ACCEPTED_TOKENS,
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

tracer = trace.get_tracer(__name__)


class GenerationTrace:
    """The RPC's span, and a child span for the current phase: render, queue, prefill, decode.

    The server starts and ends the RPC's span. Phases have explicit parents and are never made
    current: a generation is an async generator, whose context could be detached in another task
    if its reader leaves.
    """

    def __init__(self, operation: str, version_id: str) -> None:
        self._span = trace.get_current_span()
        self._context = trace.set_span_in_context(self._span)
        self._phase: Span | None = None
        self._span.set_attributes(
            {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": PROVIDER,
                "gen_ai.request.model": version_id,
            }
        )

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Run the block as a phase."""
        self.start_phase(name)
        try:
            yield
        finally:
            self.end_phase()

    def start_phase(self, name: str) -> None:
        """End the current phase and start this one."""
        self.end_phase()
        self._phase = tracer.start_span(f"inference.{name}", context=self._context)

    def end_phase(self) -> None:
        """End the current phase, if any."""
        if self._phase is not None:
            self._phase.end()
            self._phase = None

    def end(
        self,
        version_id: str,
        finish_reason: AnswerReason | None,
        *,
        input_tokens: int,
        output_tokens: int,
    ) -> None:
        """End the phase, and record usage on the RPC's span, which the server ends."""
        self.end_phase()
        self._span.set_attribute("gen_ai.usage.input_tokens", input_tokens)
        self._span.set_attribute("gen_ai.usage.output_tokens", output_tokens)
        if output_tokens:
            self._span.set_attribute("gen_ai.response.model", version_id)
        if finish_reason is not None:
            self._span.set_attribute("gen_ai.response.finish_reasons", [finish_reason])


class GenerationAccount:
    """Measures one generation.

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
        """The version is loaded, and the prompt is sent to the engine."""
        self.prompt_tokens = prompt_tokens
        self._answers = answers
        PROMPT_TOKENS.labels(self.version_id).inc(prompt_tokens)
        self._generated = GENERATED_TOKENS.labels(self.version_id)
        self._accepted = ACCEPTED_TOKENS.labels(self.version_id)
        QUEUED.labels(self.version_id).inc()
        self._queued = True
        self.trace.start_phase("prefill")

    def add(self, tokens: int, accepted: int = 0) -> None:
        """Count tokens; the first ones end the prefill phase.

        Args:
            accepted: those of them that were drafted.
        """
        if tokens and not self.completion_tokens:
            self._leave_queue()
            self.first_token_seconds = time.monotonic() - self._arrived
            FIRST_TOKEN_SECONDS.labels(*self._labels()).observe(self.first_token_seconds)
            self.trace.start_phase("decode")
        self.completion_tokens += tokens
        self._generated.inc(tokens)
        self._accepted.inc(accepted)

    def end(self, outcome: str, error_type: str) -> None:
        """Record the outcome."""
        self._leave_queue()
        GENERATIONS.labels(outcome).inc()
        seconds = time.monotonic() - self._arrived
        REQUEST_SECONDS.labels(*self._labels(), error_type).observe(seconds)
        # Answers are generated in parallel.
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
    """Record how the generation ended, however the block is left."""
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
        # All other errors imply that the tenant has the version.
        account.version_exists |= not isinstance(error, NotFoundError | InvalidInputError)
        raise
    finally:
        account.end(outcome, error_type)
