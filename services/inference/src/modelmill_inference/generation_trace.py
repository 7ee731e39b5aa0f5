"""What the span of a Generate call says, and the phases below it. Counts only, never text.

The span is the RPC's own, which the server begins and ends. Phases are made with explicit parents
and never made current: a generation is an async generator, and a context attached in one may be
detached in another task when its reader leaves.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span

from modelmill_inference.domain.generation import AnswerReason
from modelmill_inference.metrics import PROVIDER

tracer = trace.get_tracer(__name__)


class GenerationTrace:
    """The current span and the phase that the generation is in: render, prefill, decode."""

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
        """A phase that lasts as long as the block."""
        self.start_phase(name)
        try:
            yield
        finally:
            self.end_phase()

    def start_phase(self, name: str) -> None:
        """End the phase before and begin this one; it lasts until the next, or `end_phase`."""
        self.end_phase()
        self._phase = tracer.start_span(f"inference.{name}", context=self._context)

    def end_phase(self) -> None:
        """End the phase, if there is one."""
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
        """End the phase and note what the generation cost; the span itself is not ours to end."""
        self.end_phase()
        self._span.set_attribute("gen_ai.usage.input_tokens", input_tokens)
        self._span.set_attribute("gen_ai.usage.output_tokens", output_tokens)
        if output_tokens:
            self._span.set_attribute("gen_ai.response.model", version_id)
        if finish_reason is not None:
            self._span.set_attribute("gen_ai.response.finish_reasons", [finish_reason])
