"""A runner in a host's process: it obeys and tells as `runner.serve` does, to many askers.

Each asker is told of its own request alone. The thread that steps is the only one that touches the
runner; an asker that has left is noticed before the next step.
"""

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from modelmill_inference.children.runner import Runner, TokenUpdate, UpdateBatcher

POLL_SECONDS = 1.0
LEAVE_SECONDS = 5.0
"""Within it who hosts the runner closes it, or it is given up."""
MOST_LEFT = 1000
"""Requests that were left before they came; more are not remembered."""

Message = dict[str, Any]


class Caller(Protocol):
    """Who sent a message and waits for what becomes of it."""

    def has_left(self) -> bool:
        """Nobody reads any more."""

    def tell(self, message: Message | None, *, last: bool) -> None:
        """Send a message, or with None only the end."""


@dataclass(frozen=True)
class _Live:
    """A request in the batch."""

    asker: Caller
    number: int
    """The asker's own; two askers may use the same."""
    key: str
    """By which it can be cancelled; nobody else's is the same."""

    def tell(self, row: TokenUpdate) -> None:
        rows = [row._replace(number=self.number)]
        self.asker.tell({"tokens": rows}, last=row.end is not None)


@dataclass(frozen=True)
class _Sliced:
    """A score or an embedding that is done in parts, so that the batch goes on meanwhile."""

    asker: Caller
    number: int
    work: Generator[None, None, Any]


class HostedRunner:
    """One runner and the thread that steps it.

    Args:
        abilities: told to who asks `{"describe": {}}`.
        piece_seconds: see `runner.UpdateBatcher`; a response costs more than a line of a pipe.
        expire_seconds: a runner that nobody asked for so long is given up; 0 is never.
        on_expired: what giving up is.
    """

    def __init__(
        self,
        runner: Runner,
        abilities: Message,
        *,
        piece_seconds: float = 0.0,
        expire_seconds: float = 0.0,
        on_expired: Callable[[], None] = lambda: None,
    ) -> None:
        self._runner = runner
        self._abilities = abilities
        self._gathered = UpdateBatcher(piece_seconds)
        self._expire_seconds = expire_seconds
        self._on_expired = on_expired
        self._inbox: queue.SimpleQueue[tuple[Caller, Message] | None] = queue.SimpleQueue()
        # Never used again: two live requests with one number would spoil the batch.
        self._numbers = itertools.count(1)
        self._live: dict[int, _Live] = {}
        # One after the other: each holds the keys and values of its texts.
        self._sliced: deque[_Sliced] = deque()
        self._left: deque[str] = deque(maxlen=MOST_LEFT)
        """Keys of cancels that came before their requests."""
        self._heard = time.monotonic()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="steps", daemon=True)
        self._thread.start()

    def take(self, asker: Caller, message: Message) -> None:
        """Queue a message; from any thread."""
        self._inbox.put((asker, message))

    def close(self) -> None:
        """Stop stepping and wait for it; whatever still runs is told that it ended."""
        self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        why = "the engine was stopped"
        try:
            while self._obey_all():
                self._forget_who_left()
                if self._runner.busy:
                    self._gathered.add(self._runner.step())
                self._hand_out()
                if self._sliced:
                    self._go_on(self._sliced[0])
        except Exception as error:
            # Pipelines do not recover from a failed step: nothing is asked of this one any more.
            why = (str(error) or repr(error)).splitlines()[0]
        askers = [live.asker for live in self._live.values()]
        askers += [sliced.asker for sliced in self._sliced]
        self._live.clear()
        self._sliced.clear()
        for asker in askers:
            asker.tell({"died": why}, last=True)
        while not self._closing:
            self._refuse_next(why)

    def _refuse_next(self, why: str) -> None:
        asked = self._inbox.get()
        self._closing = asked is None
        if asked is not None:
            asked[0].tell({"died": why}, last=True)

    def _obey_all(self) -> bool:
        """Obey what is there, or wait for something when there is nothing to do; false: close."""
        while not self._closing:
            try:
                idle = not (self._runner.busy or self._sliced)
                asked = self._inbox.get(timeout=POLL_SECONDS) if idle else self._inbox.get_nowait()
            except queue.Empty:
                self._expire_unless_heard()
                return True
            if asked is None:
                self._closing = True
            else:
                self._obey(*asked)
        return False

    def _expire_unless_heard(self) -> None:
        if self._expire_seconds and time.monotonic() - self._heard > self._expire_seconds:
            self._on_expired()

    def _obey(self, asker: Caller, message: Message) -> None:
        ((order, body),) = message.items()
        if order != "describe":
            # Others ask that, to see who is still there.
            self._heard = time.monotonic()
        if order == "describe":
            asker.tell({"loaded": True, "abilities": self._abilities}, last=True)
        elif order == "ping":
            asker.tell({"tokens": []}, last=True)
        elif order == "cancel":
            self._cancel(body["key"])
            asker.tell(None, last=True)
        elif order == "leave":
            self._leave()
            asker.tell(None, last=True)
        elif order == "add":
            self._add(asker, body)
        else:
            self._answer(asker, order, body)

    def _cancel(self, key: str) -> None:
        for number, live in self._live.items():
            if live.key == key:
                self._forget(number)
                return
        self._left.append(key)

    def _leave(self) -> None:
        for number in list(self._live):
            self._forget(number)
        self._expire_seconds = LEAVE_SECONDS

    def _forget(self, number: int) -> None:
        self._runner.cancel(number)
        self._gathered.forget(number)
        self._live.pop(number).asker.tell(None, last=True)

    def _add(self, asker: Caller, body: Message) -> None:
        key = str(body.pop("key", ""))
        if key and key in self._left:
            self._left.remove(key)
            asker.tell(None, last=True)
            return
        number = next(self._numbers)
        try:
            self._runner.add(body | {"id": number})
        except Exception as error:
            # Refused before it was scheduled, which harms nobody else.
            _reject(asker, body.get("id", 0), error)
        else:
            self._live[number] = _Live(asker, body.get("id", 0), key)
            self._gathered.expect(number, may_gather=bool(body.get("may_gather")))

    def _answer(self, asker: Caller, order: str, body: Message) -> None:
        number = body.pop("id", 0)
        result: Any
        try:
            result = self._runner.score(**body) if order == "score" else self._runner.embed(**body)
        except Exception as error:
            _reject(asker, number, error)
        else:
            if isinstance(result, Generator):
                self._sliced.append(_Sliced(asker, number, result))
            else:
                asker.tell({"result": [number, result]}, last=True)

    def _go_on(self, sliced: _Sliced) -> None:
        """Do a part of it."""
        try:
            if sliced.asker.has_left():
                sliced.asker.tell(None, last=True)
            else:
                next(sliced.work)
                return
        except StopIteration as end:
            sliced.asker.tell({"result": [sliced.number, end.value]}, last=True)
        except Exception as error:
            _reject(sliced.asker, sliced.number, error)
        self._sliced.popleft()

    def _forget_who_left(self) -> None:
        left = [number for number, live in self._live.items() if live.asker.has_left()]
        for number in left:
            self._forget(number)

    def _hand_out(self) -> None:
        for row in self._gathered.take(time.monotonic()):
            live = self._live.get(row.number)
            if live is not None:
                live.tell(row)
            if row.end is not None:
                self._live.pop(row.number, None)


def _reject(asker: Caller, number: int, error: Exception) -> None:
    reason = (str(error) or repr(error)).splitlines()[0]
    asker.tell({"rejected": [number, reason]}, last=True)
