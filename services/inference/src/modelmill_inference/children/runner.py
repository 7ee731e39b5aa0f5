"""What an engine's own process runs: the loop, and what each kind of engine puts into it.

A step may hold the interpreter's lock and a single bad request can spoil a batch for all, so it
runs here, alone, without asyncio. Any error of a step ends the process: pipelines do not recover
from one, and the parent starts a new one.

In, one JSON object a line: `{"load": {...}}` first, then `{"add": {...}}`, `{"cancel": id}`,
`{"score": {"id", "prompt", "continuations"}}` and `{"embed": {"id", "texts"}}`; a cancel may name
any of them.
Out: `{"loaded": true}` or `{"refused": why}`; then `{"tokens": [[id, [token, ...], end, chosen],
...]}`, where `end` is null, "stop", "length", "no_room" or "dead_end" (the grammar allows nothing)
and `chosen` is null or for each token `[logprob, [[token, logprob], ...]]`;
`{"result": [id, value]}`; and `{"rejected": [id, why]}`.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar

from modelmill_inference.children.parent_pipe import ParentGoneError, ParentPipe

SIGN_OF_LIFE_SECONDS = 1.0
"""Steps that yield nothing (a long prefill) are reported this often, so that a hang is one."""
Result = TypeVar("Result")
Slices = Generator[None, None, Result]
"""Work that stops between its parts, so that the batch goes on meanwhile."""


class TokenUpdate(NamedTuple):
    """What a step brought one request; the JSON of a message's row."""

    number: int
    tokens: list[int]
    end: str | None
    chosen: list[Any] | None


class UpdateBatcher:
    """Rows that wait for the next ones; what comes slowly never waits.

    Nor do the first tokens of a request, the last ones, and any of one that has stop texts: the
    engine does not know these, and would go on past one meanwhile.

    Args:
        seconds: between messages, at least; 0: each step is told at once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._has_stops: set[int] = set()
        self._may_gather: set[int] = set()
        """Whose first tokens were told, and who has no stop texts."""
        self._urgent: list[TokenUpdate] = []
        self._waiting: dict[int, TokenUpdate] = {}
        self._told = 0.0

    def expect(self, number: int, *, may_gather: bool) -> None:
        """A request begins."""
        if not may_gather:
            self._has_stops.add(number)

    def forget(self, number: int) -> None:
        """It is over, or was left; what waits of it is told to nobody."""
        self._may_gather.discard(number)
        self._has_stops.discard(number)
        self._waiting.pop(number, None)

    def add(self, step: Iterable[TokenUpdate]) -> None:
        """What a step brought."""
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
        """What is to be told now; empty while all of it may wait."""
        urgent, self._urgent = self._urgent, []
        if now - self._told < self._seconds:
            return urgent
        waiting, self._waiting = self._waiting, {}
        if urgent or waiting:
            self._told = now
        return [*urgent, *waiting.values()]


def _joined(before: TokenUpdate, after: TokenUpdate) -> TokenUpdate:
    chosen = None if before.chosen is None else before.chosen + (after.chosen or [])
    return TokenUpdate(before.number, before.tokens + after.tokens, after.end, chosen)


class Runner(Protocol):
    """One loaded model with its batch. Errors of `step` are the end of it; others refuse one."""

    @property
    def busy(self) -> bool:
        """There is something to step for."""

    def add(self, add: dict[str, Any]) -> None:
        """Take a request: the fields of `GenerationRequest`, `id` and `eos_ids`."""

    def cancel(self, number: int) -> None:
        """Forget a request; an unknown one is none."""

    def step(self) -> list[TokenUpdate]:
        """Bring the batch on by one step, and say what came of it."""

    def score(
        self, prompt: list[int], continuations: list[list[int]]
    ) -> list[list[Any]] | Slices[list[list[Any]]]:
        """`[log_likelihood, is_greedy]` of each continuation; at once, or in slices."""

    def embed(self, texts: list[list[int]]) -> list[list[float]] | Slices[list[list[float]]]:
        """The vector of each text; at once, or in slices."""


def serve(
    open_runner: Callable[[dict[str, Any]], Runner], warm_up: Callable[[], None] | None = None
) -> None:
    """Load what the parent says, then obey, step and tell, until it is gone or a step fails.

    Args:
        warm_up: for a parent that says so before it knows what to load.
    """
    # The parent's group gets Ctrl-C and SIGTERM too, but requests in hand are to be finished:
    # the parent hangs up when it is time.
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
        # One after the other: each holds the keys and values of its texts.
        self._sliced: deque[tuple[int, Slices[Any]]] = deque()
        self._last_word = time.monotonic()

    def run(self) -> None:
        while True:
            idle = not self._runner.busy and not self._sliced
            for message in self._parent.receive(wait=idle):
                self._obey(message)
            if self._runner.busy:
                self._gathered.add(self._runner.step())
            now = time.monotonic()
            updates = self._gathered.take(now)
            if updates or now - self._last_word > SIGN_OF_LIFE_SECONDS:
                self._parent.send({"tokens": updates})
                self._last_word = now
            if self._sliced:
                self._go_on(*self._sliced[0])

    def _obey(self, message: dict[str, Any]) -> None:
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
            # Refused before it was scheduled, which harms nobody else.
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

    def _go_on(self, number: int, work: Slices[Any]) -> None:
        """Do a slice of it."""
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
