"""An answer on its way out: pieces from the engine go in, text that may be shown comes out."""

import time
from collections.abc import AsyncIterator

from guard.bundle import CompiledPolicy
from guard.verdict import Action, Direction
from opentelemetry import trace
from service_kit.errors import UnavailableError

from gateway.domain.chat import End, Piece

tracer = trace.get_tracer(__name__)

CANCELLED = End("cancelled")
"""How an answer ended as long as nothing else is known: whoever listened stopped listening."""


class GuardedAnswer:
    """Releases only text that no rule can still turn into a match.

    `end` tells how the answer ended, once `texts` is exhausted.

    Args:
        echo: text to be shown before the engine's, guarded like it and together with it.
    """

    def __init__(
        self,
        version_id: str,
        policy: CompiledPolicy,
        pieces: AsyncIterator[Piece],
        started: float,
        echo: str = "",
    ) -> None:
        self.version_id = version_id
        self.policy_digest = policy.digest
        self.end = CANCELLED
        self.first_piece_seconds = 0.0
        self.first_text_seconds: float | None = None
        self._echo = echo
        self._guard = policy.stream(Direction.OUTPUT)
        self._pieces = pieces
        self._started = started
        self._first: Piece | None = None
        self._span = tracer.start_span("guard.output")
        self._guard_seconds = 0.0

    async def begin(self) -> None:
        """Wait for the first piece; errors that come instead of it can still become a status."""
        try:
            first = await anext(self._pieces)
        except Exception:
            self.end = End("error")
            raise
        self._first = Piece(self._echo + first.text, first.end) if self._echo else first
        self.first_piece_seconds = time.perf_counter() - self._started

    async def texts(self) -> AsyncIterator[str]:
        """Text to show, piece by piece and never empty; after a block there is no more."""
        piece = self._first
        try:
            while piece is not None:
                text, end = self._guarded(piece)
                if text:
                    if self.first_text_seconds is None:
                        self.first_text_seconds = time.perf_counter() - self._started
                    yield text
                if end is not None:
                    self.end = end
                    return
                piece = await anext(self._pieces, None)
        except Exception:
            self.end = End("error")
            raise
        self.end = End("error")
        raise UnavailableError("the engine stopped before the answer was complete")

    def close(self) -> None:
        """End the guard's span."""
        self._span.set_attribute("modelmill.guard.seconds", self._guard_seconds)
        self._span.set_attribute("modelmill.finish_reason", self.end.finish_reason)
        self._span.end()

    def _guarded(self, piece: Piece) -> tuple[str, End | None]:
        """What may be shown of the piece and of what was held back; the end, if it is reached."""
        begun = time.perf_counter()
        released = self._guard.push(piece.text)
        text, verdict = released.text, released.verdict
        if piece.end is not None and verdict is None:
            rest = self._guard.finish()
            text, verdict = text + rest.text, rest.verdict
        self._guard_seconds += time.perf_counter() - begun
        if verdict is not None and verdict.action is Action.BLOCK:
            return text, End("content_filter", piece.end.usage if piece.end else None)
        return text, piece.end
