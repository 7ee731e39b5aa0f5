"""Main loop of an engine child process, and the runner interface of each engine.

A step may hold the GIL, and one bad request can fail a whole batch; so steps run in a separate
process without asyncio. Any error of a step ends the process: pipelines do not recover, and the
parent starts a new process.

In, one JSON object a line: `{"load": {...}}` first, then `{"add": {...}}`, `{"cancel": id}`,
`{"score": {"id", "prompt", "continuations"}}` and `{"embed": {"id", "texts"}}`; a cancel may name
any of them.
Out: `{"loaded": true}` or `{"refused": why}`; then `{"tokens": [[id, [token, ...], end, chosen,
accepted], ...]}`, where `end` is null, "stop", "length", "no_room" or "dead_end" (the grammar
allows nothing), `chosen` is null or for each token `[logprob, [[token, logprob], ...]]`, and
`accepted` is how many of the tokens were drafted;
`{"result": [id, value]}`; and `{"rejected": [id, why]}`.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar

from modelmill_inference.children.parent_pipe import ParentGoneError, ParentPipe

SIGN_OF_LIFE_SECONDS = 1.0
"""Interval of heartbeats while steps yield no tokens (long prefill), to detect hangs."""
Result = TypeVar("Result")
Slices = Generator[None, None, Result]
"""Work in slices, between which the batch continues."""


class TokenUpdate(NamedTuple):
    """Tokens of one request from one step; a row of a `tokens` message."""

    number: int
    tokens: list[int]
    end: str | None
    chosen: list[Any] | None
    accepted: int = 0
    """Of the tokens, those that were drafted and cost no step of their own."""


class UpdateBatcher:
    """Batches token updates, because a message costs both processes more than a token does.

    The first and last tokens of a request are sent at once, and all tokens of a request with stop
    texts: the engine does not know those, and would generate beyond one meanwhile.

    Args:
        seconds: minimum interval between messages; 0 sends each step at once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._has_stops: set[int] = set()
        self._may_gather: set[int] = set()
        """Requests whose first tokens were sent, and that have no stop texts."""
        self._urgent: list[TokenUpdate] = []
        self._waiting: dict[int, TokenUpdate] = {}
        self._sent_at = 0.0

    def expect(self, number: int, *, may_gather: bool) -> None:
        """Register a request."""
        if not may_gather:
            self._has_stops.add(number)

    def forget(self, number: int) -> None:
        """Remove a request and its unsent tokens."""
        self._may_gather.discard(number)
        self._has_stops.discard(number)
        self._waiting.pop(number, None)

    def add(self, step: Iterable[TokenUpdate]) -> None:
        """Add the updates of a step."""
        for row in step:
            before = self._waiting.pop(row.number, None)
            whole = row if before is None else _joined(before, row)
            if row.end is None and row.number in self._may_gather:
                self._waiting[row.number] = whole
                continue
            self._urgent.append(whole)
            if row.end is not None:
                self.forget(row.number)
            elif row.number not in self._has_stops:
                self._may_gather.add(row.number)

    def take(self, now: float) -> list[TokenUpdate]:
        """Updates to send now; empty while all may wait."""
        urgent, self._urgent = self._urgent, []
        if now - self._sent_at < self._seconds:
            return urgent
        waiting, self._waiting = self._waiting, {}
        if urgent or waiting:
            self._sent_at = now
        return [*urgent, *waiting.values()]


def _joined(before: TokenUpdate, after: TokenUpdate) -> TokenUpdate:
    chosen = None if before.chosen is None else before.chosen + (after.chosen or [])
    tokens, accepted = before.tokens + after.tokens, before.accepted + after.accepted
    return TokenUpdate(before.number, tokens, after.end, chosen, accepted)


class Runner(Protocol):
    """A loaded model with its batch. Errors of `step` are fatal; others reject one request."""

    @property
    def busy(self) -> bool:
        """Whether there are requests."""

    def add(self, add: dict[str, Any]) -> None:
        """Add a request: the fields of `GenerationRequest`, `id` and `eos_ids`."""

    def cancel(self, number: int) -> None:
        """Cancel a request; unknown ids are ignored."""

    def step(self) -> list[TokenUpdate]:
        """Run one step of the batch; returns the new tokens."""

    def score(
        self, prompt: list[int], continuations: list[list[int]]
    ) -> list[list[Any]] | Slices[list[list[Any]]]:
        """`[log_likelihood, is_greedy]` per continuation; at once, or in slices."""

    def embed(self, texts: list[list[int]]) -> list[list[float]] | Slices[list[list[float]]]:
        """Embedding per text; at once, or in slices."""


def serve(
    open_runner: Callable[[dict[str, Any]], Runner], warm_up: Callable[[], None] | None = None
) -> None:
    """Load, then serve requests until the parent ends or a step fails.

    Args:
        warm_up: run if the parent sends `warm` before `load`.
    """
    # Signals to the process group must not abort running requests: the parent closes the pipe when
    # they have finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = ParentPipe()
    try:
        message = next(parent.receive(wait=True))
        if warm_up is not None and "warm" in message:
            warm_up()
            parent.send({"warm": True})
            message = next(parent.receive(wait=True))
        load = message["load"]
        try:
            runner = open_runner(load)
        except Exception as error:
            parent.send({"refused": str(error)})
            return
        parent.send({"loaded": True})
        _Loop(runner, parent, load.get("piece_seconds", 0.0)).run()
    except ParentGoneError:
        return


class _Loop:
    def __init__(self, runner: Runner, parent: ParentPipe, piece_seconds: float) -> None:
        self._runner = runner
        self._gathered = UpdateBatcher(piece_seconds)
        self._parent = parent
        # One at a time, because each holds a key-value cache.
        self._sliced: deque[tuple[int, Slices[Any]]] = deque()
        self._last_sent = time.monotonic()

    def run(self) -> None:
        while True:
            idle = not self._runner.busy and not self._sliced
            for message in self._parent.receive(wait=idle):
                self._handle(message)
            if self._runner.busy:
                self._gathered.add(self._runner.step())
            now = time.monotonic()
            updates = self._gathered.take(now)
            if updates or now - self._last_sent > SIGN_OF_LIFE_SECONDS:
                self._parent.send({"tokens": updates})
                self._last_sent = now
            if self._sliced:
                self._run_slice(*self._sliced[0])

    def _handle(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            self._cancel(message["cancel"])
            return
        ((order, body),) = message.items()
        number = body["id"]
        try:
            if order == "add":
                self._runner.add(body)
                self._gathered.expect(number, may_gather=body["may_gather"])
                return
            del body["id"]
            result = self._runner.score(**body) if order == "score" else self._runner.embed(**body)
        except Exception as error:
            # Rejected before it was scheduled; other requests are unaffected.
            self._reject(number, error)
        else:
            if isinstance(result, Generator):
                self._sliced.append((number, result))
            else:
                self._parent.send({"result": [number, result]})

    def _cancel(self, number: int) -> None:
        self._runner.cancel(number)
        self._gathered.forget(number)
        self._sliced = deque(work for work in self._sliced if work[0] != number)

    def _run_slice(self, number: int, work: Slices[Any]) -> None:
        """Run one slice."""
        try:
            next(work)
            return
        except StopIteration as end:
            self._parent.send({"result": [number, end.value]})
        except Exception as error:
            self._reject(number, error)
        self._sliced.popleft()

    def _reject(self, number: int, error: Exception) -> None:
        self._parent.send({"rejected": [number, (str(error) or repr(error)).splitlines()[0]]})
