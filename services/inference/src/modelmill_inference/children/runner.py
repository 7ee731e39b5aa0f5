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
from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

from modelmill_inference.children.gathered_news import GatheredNews
from modelmill_inference.children.gathered_news import News as News
from modelmill_inference.children.parent_pipe import ParentGoneError, ParentPipe

SIGN_OF_LIFE_SECONDS = 1.0
"""Steps that yield nothing (a long prefill) are reported this often, so that a hang is one."""


Result = TypeVar("Result")
Slices = Generator[None, None, Result]
"""Work that stops between its parts, so that the batch goes on meanwhile."""


class Runner(Protocol):
    """One loaded model with its batch. Errors of `step` are the end of it; others refuse one."""

    @property
    def busy(self) -> bool:
        """There is something to step for."""

    def add(self, add: dict[str, Any]) -> None:
        """Take a request: the fields of `GenerationRequest`, `id` and `eos_ids`."""

    def cancel(self, number: int) -> None:
        """Forget a request; an unknown one is none."""

    def step(self) -> list[News]:
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
        self._gathered = GatheredNews(piece_seconds)
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
            news = self._gathered.take(now)
            if news or now - self._last_word > SIGN_OF_LIFE_SECONDS:
                self._parent.send({"tokens": news})
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
