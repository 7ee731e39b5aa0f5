"""One answer on its way out: pieces from the engine go in, pieces that may be shown come out."""

from collections.abc import Iterator, Sequence

from guard.bundle import CompiledPolicy
from guard.verdict import Action, Direction

from gateway.domain.chat import End, Piece, ToolCall
from gateway.guarded_call import guarded_call
from gateway.guarded_logprobs import GuardedLogprobs

BLOCKED = "content_filter"


class GuardedAnswer:
    """Releases only what no rule can still turn into a match.

    Args:
        echo: text to be shown before the engine's, guarded like it and together with it.
    """

    def __init__(self, policy: CompiledPolicy, echo: str = "") -> None:
        self._policy = policy
        self._guard = policy.stream(Direction.OUTPUT)
        self._echo = echo
        self._logprobs: GuardedLogprobs | None = None
        self.end: End | None = None
        """How it ended, once it has."""

    def shown(self, piece: Piece) -> Piece:
        """What may be shown of the piece and of what was held back; with the end, if it has one.

        After a block it is empty, and only what the answer cost is taken from the engine.
        """
        if self.end is not None:
            if piece.end is not None:
                self.end = End(self.end.finish_reason, piece.end.usage)
            return Piece("", answer=piece.answer)
        released = self._guard.push(self._echo + piece.text)
        text, verdict = released.text, released.verdict
        if piece.end is not None and verdict is None:
            rest = self._guard.finish()
            text, verdict = text + rest.text, rest.verdict
        blocked = verdict is not None and verdict.action is Action.BLOCK
        shown = Piece(text, answer=piece.answer)
        if not blocked and (piece.logprobs or self._logprobs):
            shown = self._with_logprobs(shown, piece)
            blocked = self._logprobs is not None and self._logprobs.blocked
        if not blocked and piece.calls:
            shown = shown._replace(calls=tuple(self._passing(piece.calls)))
            blocked = len(shown.calls) < len(piece.calls)
        self._echo = ""
        self.end = piece.end
        if blocked:
            self.end = End(BLOCKED, piece.end.usage if piece.end else None)
        return shown._replace(end=self.end)

    def _passing(self, calls: Sequence[ToolCall]) -> Iterator[ToolCall]:
        """The calls before the first one that is blocked."""
        for call in calls:
            passed = guarded_call(call, self._policy)
            if passed is None:
                return
            yield passed

    def _with_logprobs(self, shown: Piece, piece: Piece) -> Piece:
        if self._logprobs is None:
            self._logprobs = GuardedLogprobs(self._policy)
        tokens = self._logprobs.push(piece.logprobs)
        if piece.end is not None:
            tokens += self._logprobs.finish()
        return shown._replace(logprobs=tokens)
