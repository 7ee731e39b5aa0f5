"""Spans of one generation: how long it rendered, waited for the first token, and decoded.

Spans are made with explicit parents and never made current: a generation is an async generator,
and a context attached in one may be detached in another task when its reader leaves.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

tracer = trace.get_tracer(__name__)

GOOD_OUTCOMES = frozenset({"stop", "length", "cancelled"})


class GenerationTrace:
    """The span `inference.generate` and the phase that it is in. Counts only, never text."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._context = trace.set_span_in_context(span)
        self._phase: Span | None = None

    @classmethod
    def begin(cls, version_id: str) -> "GenerationTrace":
        """A child of the current span, which is the RPC's."""
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": version_id}
        return cls(tracer.start_span("inference.generate", attributes=attributes))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase that lasts as long as the block."""
        self.start_phase(name)
        try:
            yield
        finally:
            self._end_phase()

    def start_phase(self, name: str) -> None:
        """End the phase before and begin this one; it lasts until the next, or `end`."""
        self._end_phase()
        self._phase = tracer.start_span(name, context=self._context)

    def end(self, outcome: str, prompt_tokens: int, completion_tokens: int) -> None:
        """End the phase and the whole."""
        if self._phase is not None:
            self._phase.set_attribute("gen_ai.usage.output_tokens", completion_tokens)
        self._end_phase()
        self._span.set_attributes(
            {
                "gen_ai.usage.input_tokens": prompt_tokens,
                "gen_ai.usage.output_tokens": completion_tokens,
                "gen_ai.response.finish_reasons": [outcome],
            }
        )
        if outcome not in GOOD_OUTCOMES:
            self._span.set_status(Status(StatusCode.ERROR, outcome))
        self._span.end()

    def _end_phase(self) -> None:
        if self._phase is not None:
            self._phase.end()
            self._phase = None
