"""Hosts a runner for many concurrent callers, with the protocol of `runner.serve`.

Each caller receives only the responses to its own request. A single thread uses the runner; callers
that disconnect are detected before the next step.
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
"""Time for the host to close the runner after `leave`; then it ends itself."""
MOST_LEFT = 1000
"""Remembered cancellations that arrived before their requests."""

Message = dict[str, Any]


class MessageSender(Protocol):
    """Sender of a message, which waits for responses."""

    def has_left(self) -> bool:
        """Whether it has disconnected."""

    def tell(self, message: Message | None, *, last: bool) -> None:
        """Send a response; None sends only the end of the stream."""


@dataclass(frozen=True)
class _Live:
    """A request in the batch."""

    sender: MessageSender
    number: int
    """Request number of the caller; not unique among callers."""
    key: str
    """Unique key for cancellation."""

    def tell(self, row: TokenUpdate) -> None:
        rows = [row._replace(number=self.number)]
        self.sender.tell({"tokens": rows}, last=row.end is not None)


@dataclass(frozen=True)
class _Sliced:
    """A score or embedding that runs in slices, between which the batch continues."""

    sender: MessageSender
    number: int
    work: Generator[None, None, Any]


class HostedRunner:
    """A runner, and the thread that runs its steps.

    Args:
        abilities: response to `{"describe": {}}`.
        piece_seconds: see `runner.UpdateBatcher`; a response costs more than a line of a pipe.
        expire_seconds: a runner without requests for this long expires; 0 for never.
        leave_seconds: as `expire_seconds`, once the service has left it.
        on_expired: called then.
    """

    def __init__(
        self,
        runner: Runner,
        abilities: Message,
        *,
        piece_seconds: float = 0.0,
        expire_seconds: float = 0.0,
        leave_seconds: float = LEAVE_SECONDS,
        on_expired: Callable[[], None] = lambda: None,
    ) -> None:
        self._runner = runner
        self._abilities = abilities
        self._gathered = UpdateBatcher(piece_seconds)
        self._expire_seconds = expire_seconds
        self._leave_seconds = leave_seconds
        self._on_expired = on_expired
        self._inbox: queue.SimpleQueue[tuple[MessageSender, Message] | None] = queue.SimpleQueue()
        # Never reused: duplicate numbers would corrupt the batch.
        self._numbers = itertools.count(1)
        self._live: dict[int, _Live] = {}
        # One at a time, because each holds a key-value cache.
        self._sliced: deque[_Sliced] = deque()
        self._left: deque[str] = deque(maxlen=MOST_LEFT)
        """Keys of cancellations that arrived before their requests."""
        self._last_message = time.monotonic()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="steps", daemon=True)
        self._thread.start()

    def take(self, sender: MessageSender, message: Message) -> None:
        """Queue a message. Thread-safe."""
        self._inbox.put((sender, message))

    def close(self) -> None:
        """Stop the thread; running requests fail."""
        self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        why = "the engine was stopped"
        try:
            while self._handle_all():
                self._cancel_disconnected()
                if self._runner.busy:
                    self._gathered.add(self._runner.step())
                self._dispatch()
                if self._sliced:
                    self._run_slice(self._sliced[0])
        except Exception as error:
            # Pipelines do not recover from a failed step: all requests fail from now on.
            why = (str(error) or repr(error)).splitlines()[0]
        senders = [live.sender for live in self._live.values()]
        senders += [sliced.sender for sliced in self._sliced]
        self._live.clear()
        self._sliced.clear()
        for sender in senders:
            sender.tell({"died": why}, last=True)
        while not self._closing:
            self._refuse_next(why)

    def _refuse_next(self, why: str) -> None:
        asked = self._inbox.get()
        self._closing = asked is None
        if asked is not None:
            asked[0].tell({"died": why}, last=True)

    def _handle_all(self) -> bool:
        """Handle queued messages, or wait for one if idle; False on close."""
        while not self._closing:
            try:
                idle = not (self._runner.busy or self._sliced)
                asked = self._inbox.get(timeout=POLL_SECONDS) if idle else self._inbox.get_nowait()
            except queue.Empty:
                self._expire_if_idle()
                return True
            if asked is None:
                self._closing = True
            else:
                self._handle(*asked)
        return False

    def _expire_if_idle(self) -> None:
        if self._expire_seconds and time.monotonic() - self._last_message > self._expire_seconds:
            self._on_expired()

    def _handle(self, sender: MessageSender, message: Message) -> None:
        ((order, body),) = message.items()
        if order != "describe":
            # Other services send it to detect dead models, so it is no sign of use.
            self._last_message = time.monotonic()
        if order == "describe":
            sender.tell({"loaded": True, "abilities": self._abilities}, last=True)
        elif order == "ping":
            sender.tell({"tokens": []}, last=True)
        elif order == "cancel":
            self._cancel(body["key"])
            sender.tell(None, last=True)
        elif order == "leave":
            self._leave()
            sender.tell(None, last=True)
        elif order == "add":
            self._add(sender, body)
        else:
            self._answer(sender, order, body)

    def _cancel(self, key: str) -> None:
        for number, live in self._live.items():
            if live.key == key:
                self._forget(number)
                return
        self._left.append(key)

    def _leave(self) -> None:
        for number in list(self._live):
            self._forget(number)
        self._expire_seconds = self._leave_seconds

    def _forget(self, number: int) -> None:
        self._runner.cancel(number)
        self._gathered.forget(number)
        self._live.pop(number).sender.tell(None, last=True)

    def _add(self, sender: MessageSender, body: Message) -> None:
        key = str(body.pop("key", ""))
        if key and key in self._left:
            self._left.remove(key)
            sender.tell(None, last=True)
            return
        number = next(self._numbers)
        try:
            self._runner.add(body | {"id": number})
        except Exception as error:
            # Rejected before it was scheduled; other requests are unaffected.
            _reject(sender, body.get("id", 0), error)
        else:
            self._live[number] = _Live(sender, body.get("id", 0), key)
            self._gathered.expect(number, may_gather=bool(body.get("may_gather")))

    def _answer(self, sender: MessageSender, order: str, body: Message) -> None:
        number = body.pop("id", 0)
        result: Any
        try:
            result = self._runner.score(**body) if order == "score" else self._runner.embed(**body)
        except Exception as error:
            _reject(sender, number, error)
        else:
            if isinstance(result, Generator):
                self._sliced.append(_Sliced(sender, number, result))
            else:
                sender.tell({"result": [number, result]}, last=True)

    def _run_slice(self, sliced: _Sliced) -> None:
        """Run one slice."""
        try:
            if sliced.sender.has_left():
                sliced.sender.tell(None, last=True)
            else:
                next(sliced.work)
                return
        except StopIteration as end:
            sliced.sender.tell({"result": [sliced.number, end.value]}, last=True)
        except Exception as error:
            _reject(sliced.sender, sliced.number, error)
        self._sliced.popleft()

    def _cancel_disconnected(self) -> None:
        left = [number for number, live in self._live.items() if live.sender.has_left()]
        for number in left:
            self._forget(number)

    def _dispatch(self) -> None:
        for row in self._gathered.take(time.monotonic()):
            live = self._live.get(row.number)
            if live is not None:
                live.tell(row)
            if row.end is not None:
                self._live.pop(row.number, None)


def _reject(sender: MessageSender, number: int, error: Exception) -> None:
    reason = (str(error) or repr(error)).splitlines()[0]
    sender.tell({"rejected": [number, reason]}, last=True)
