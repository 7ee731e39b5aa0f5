"""Consumers of a fake stream: the durable one that shares out, the ordered one that replays."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

from modelmill_testkit.fake_nats.stream import FakeStream, StoredMessage, not_wanted, passes

HEARTBEAT_SECONDS = 2.0
TIMERS_EARLY_SECONDS = 1e-6
"""A loop calls a timer up to its clock's resolution before it is due."""


class Timers(Protocol):
    """What consumers need of the broker."""

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it then, unless the broker is down."""

    @property
    def now(self) -> float:
        """Virtual seconds."""


class Reader(Protocol):
    """Where what is delivered goes."""

    @property
    def listens(self) -> bool:
        """Whether the broker still sees a connection there."""

    def take(self, message: StoredMessage, place: int, left: int) -> None:
        """A message, its number in this consumer, and how many are left behind it."""

    def status(self, code: str, headers: dict[str, str]) -> None:
        """A word of the broker about a request."""


@dataclass(eq=False)
class Pull:
    """Somebody's request for messages."""

    reader: Reader
    wanted: int
    until: float

    def is_open(self, now: float) -> bool:
        """Whether it may still be served."""
        return self.wanted > 0 and now < self.until and self.reader.listens


@dataclass
class _Pending:
    message: StoredMessage
    due: float
    """When it is delivered again unless something is heard of it."""


class Consumer:
    """What both kinds have in common: a filter, a place in the stream, requests that wait."""

    def __init__(self, name: str, stream: FakeStream, config: Any, timers: Timers) -> None:
        self.name = name
        self.stream = stream
        self.place = 0
        """Messages delivered, repeats counted: nats-server's consumer sequence."""
        self.timers = timers
        self.pulls: deque[Pull] = deque()
        self._config = config
        self._read = not_wanted(stream, config)
        self.gone = False
        stream.on_stored.append(lambda _message: self.serve())

    def ask(self, pull: Pull) -> None:
        """Serve the request now or until it ends."""
        self.pulls.append(pull)
        self.serve()
        self.timers.later(pull.until - self.timers.now, lambda: self._end(pull))

    def serve(self) -> None:
        """Deliver what there is to whoever asked first."""
        while not self.gone and (pull := self._first_open()) is not None:
            message = self.next_message()
            if message is None:
                return
            pull.wanted -= 1
            self.place += 1
            pull.reader.take(message, self.place, self.left())

    def next_message(self) -> StoredMessage | None:
        """The next one that was never delivered."""
        for message in self.stream.after(self._read):
            self._read = message.sequence
            if self.wants(message.subject):
                return message
        return None

    def left(self) -> int:
        """How many wait to be delivered for the first time."""
        return sum(self.wants(message.subject) for message in self.stream.after(self._read))

    def wants(self, subject: str) -> bool:
        """Whether the filters let it through."""
        return passes(self._config, subject)

    def _first_open(self) -> Pull | None:
        while self.pulls and not (self.pulls[0].wanted and self.pulls[0].reader.listens):
            self.pulls.popleft()
        return next((pull for pull in self.pulls if pull.is_open(self.timers.now)), None)

    def _end(self, pull: Pull) -> None:
        if pull in self.pulls:
            self.pulls.remove(pull)
            pull.reader.status("408", {"Nats-Pending-Messages": str(pull.wanted)})
            self.serve()


class OrderedConsumer(Consumer):
    """Each message once, in order, no acknowledgements; says every two seconds that it is there."""

    def ask(self, pull: Pull) -> None:
        first = not self.place and not self.pulls
        super().ask(pull)
        if first:
            self._beat(self.place)

    def _beat(self, place: int) -> None:
        if self.gone:
            return
        if self.pulls and self.place == place and self.pulls[0].reader.listens:
            self.pulls[0].reader.status("100", {})
        now = self.place
        self.timers.later(HEARTBEAT_SECONDS, lambda: self._beat(now))


class DurableConsumer(Consumer):
    """Each message to one reader at a time, until it is acknowledged."""

    def __init__(self, name: str, stream: FakeStream, config: Any, timers: Timers) -> None:
        super().__init__(name, stream, config, timers)
        self.ack_wait: float = config.ack_wait
        self.pending: dict[int, _Pending] = {}
        self._again: deque[int] = deque()
        self._acked: list[StoredMessage] = []

    def next_message(self) -> StoredMessage | None:
        message = None
        while self._again and message is None:
            waiting = self.pending.get(self._again.popleft())
            message = waiting.message if waiting else None
        message = message or super().next_message()
        if message is not None:
            self._hold(message, self.ack_wait)
        return message

    def ack(self, sequence: int) -> None:
        """It is done with, whoever says so: acknowledgements are not fenced."""
        if (held := self.pending.pop(sequence, None)) is not None:
            self._acked.append(held.message)

    def nak(self, sequence: int, delay: float | None) -> None:
        """Deliver it again, after `delay` seconds."""
        if sequence in self.pending:
            if delay:
                self._hold(self.pending[sequence].message, delay)
            else:
                self._offer_again(sequence)

    def in_progress(self, sequence: int) -> None:
        """It is in hand; its time begins anew."""
        if sequence in self.pending:
            self._hold(self.pending[sequence].message, self.ack_wait)

    def forget_acks(self, count: int) -> None:
        """As a broker that was killed before it wrote the newest acknowledgements to disk."""
        for message in self._acked[-count:] if count else ():
            self.pending[message.sequence] = _Pending(message, self.timers.now)
            self._offer_again(message.sequence)
        self._acked.clear()

    def _hold(self, message: StoredMessage, seconds: float) -> None:
        self.pending[message.sequence] = _Pending(message, self.timers.now + seconds)
        self.timers.later(seconds, lambda: self._expire(message.sequence))

    def _expire(self, sequence: int) -> None:
        held = self.pending.get(sequence)
        if held is not None and held.due <= self.timers.now + TIMERS_EARLY_SECONDS:
            self._offer_again(sequence)

    def _offer_again(self, sequence: int) -> None:
        if sequence not in self._again:
            self.pending[sequence].due = float("inf")
            self._again.append(sequence)
            self.serve()

    def unsettled(self) -> int:
        """Messages that nobody acknowledged yet."""
        return len(self.pending) + self.left()


def describe(consumer: Consumer) -> SimpleNamespace:
    """Its counts, in nats-py's words."""
    pending = consumer.pending if isinstance(consumer, DurableConsumer) else ()
    return SimpleNamespace(
        name=consumer.name, num_pending=consumer.left(), num_ack_pending=len(pending)
    )
