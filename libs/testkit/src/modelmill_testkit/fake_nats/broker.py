"""The broker in memory: streams, consumers, and the connections over which they are reached.

Every way takes some time, and each may be told to lose or delay what is sent. What reaches the
broker takes effect at once and whole, whatever becomes of the sender meanwhile.
"""

import asyncio
import contextvars
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from nats.js.errors import NotFoundError

from modelmill_testkit.fake_nats.consumers import (
    Consumer,
    DurableConsumer,
    OrderedConsumer,
    Pull,
    Reader,
)
from modelmill_testkit.fake_nats.stream import FakeStream, matches

LATENCY_SECONDS = (0.0002, 0.0005, 0.001, 0.004, 0.02)
"""So different that of two messages at once either comes first."""
RECONNECT_SECONDS = 0.2


@dataclass(frozen=True)
class Mishap:
    """What befalls the next write that it is meant for, on its way."""

    subjects: str = ">"
    """Filter: which writes it is meant for."""
    lose_answer: bool = False
    late_seconds: float = 0.0
    """Longer than a request waits: it takes effect when its sender has given up on it."""
    meanwhile: Callable[[], None] = lambda: None
    """Done as it is sent."""


class FakeBroker:
    """What nats-server is to its clients, on the event loop that runs when it is made.

    Args:
        seed: of the latencies.
        latencies: seconds one way; one of them is drawn for each message.
        heedless: filter of subjects that are stored whatever sequence was expected: a control.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        seed: int = 0,
        latencies: Sequence[float] = LATENCY_SECONDS,
        heedless: str = "",
    ) -> None:
        self.streams: dict[str, FakeStream] = {}
        self.consumers: dict[tuple[str, str], Consumer] = {}
        self.serving = True
        self._loop = loop
        self._chance = random.Random(seed)
        self._latencies = latencies
        self._heedless = heedless
        self._connections: list[Connection] = []
        self._held: list[Callable[[], None]] = []
        self._numbers = count(1)
        self._context = contextvars.Context()

    @property
    def now(self) -> float:
        """Of the loop."""
        return self._loop.time()

    def connect(self) -> "Connection":
        """A new connection, up if the broker is."""
        connection = Connection(self)
        self._connections.append(connection)
        return connection

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it then; while the broker does not run, as soon as it runs again."""
        self._loop.call_later(max(0.0, seconds), self._when_serving, action, context=self._context)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """What happens on the way to or from it, whether it runs or not."""
        self._loop.call_at(when, action, context=self._context)

    def _when_serving(self, action: Callable[[], None]) -> None:
        if self.serving:
            action()
        else:
            self._held.append(action)

    def latency(self) -> float:
        """Of the next message, in seconds."""
        return self._chance.choice(self._latencies)

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing is answered."""
        self.serving = False

    def resume(self) -> None:
        """SIGCONT: all that came meanwhile is taken in."""
        self.serving = True
        held, self._held = self._held, []
        for action in held:
            action()

    def kill(self) -> None:
        """SIGKILL: connections break, what lives in memory is gone."""
        self.serving = False
        for connection in self._connections:
            connection.drop(lose_sent=True)
        for key, consumer in list(self.consumers.items()):
            consumer.pulls.clear()
            if isinstance(consumer, OrderedConsumer):
                consumer.gone = True
                del self.consumers[key]

    def start(self, *, forgotten_acks: int = 0) -> None:
        """Again on the same store, without the newest acknowledgements of each durable consumer."""
        for consumer in self.consumers.values():
            if isinstance(consumer, DurableConsumer):
                consumer.forget_acks(forgotten_acks)
        self.resume()
        for connection in self._connections:
            self.later(RECONNECT_SECONDS, connection.restore)

    def stream(self, name: str) -> FakeStream:
        """One of its streams.

        Raises:
            NotFoundError: there is none of that name.
        """
        if name not in self.streams:
            raise NotFoundError(code=404, err_code=10059, description="stream not found")
        return self.streams[name]

    def add_stream(self, config: Any) -> None:
        """Create it."""
        self.streams[config.name] = FakeStream(config, heedless=self._heedless)

    def store(self, subject: str, data: bytes, headers: Mapping[str, str]) -> Any:
        """Into the stream that takes the subject; see `FakeStream.store`."""
        for stream in self.streams.values():
            if stream.takes(subject):
                return stream.store(subject, data, headers, time.time())
        raise NotFoundError(code=404, err_code=10059, description="no stream takes it")

    def add_consumer(self, stream: str, config: Any) -> Consumer:
        """Create it, or give the durable one that is there the new settings."""
        name = config.durable_name or config.name or f"ordered-{next(self._numbers)}"
        found = self.consumers.get((stream, name))
        if isinstance(found, DurableConsumer):
            found.ack_wait = config.ack_wait
            return found
        kind = DurableConsumer if config.durable_name else OrderedConsumer
        made = kind(name, self.stream(stream), config, self)
        self.consumers[stream, name] = made
        return made

    def consumer(self, stream: str, name: str) -> Consumer:
        """One of its consumers.

        Raises:
            NotFoundError: there is none of that name.
        """
        if (stream, name) not in self.consumers:
            raise NotFoundError(code=404, err_code=10014, description="consumer not found")
        return self.consumers[stream, name]

    def pull(self, stream: str, name: str, reader: Reader, wanted: int, seconds: float) -> None:
        """Somebody asks for messages."""
        consumer = self.consumers.get((stream, name))
        if consumer is None:
            reader.status("503", {})
        else:
            consumer.ask(Pull(reader, wanted, self.now + seconds))


class Connection:
    """One client's way to the broker and back, in order as long as it holds."""

    def __init__(self, broker: FakeBroker) -> None:
        self.up = broker.serving
        self.closed = False
        self.epoch = 0
        self.reconnected: Callable[[], None] = lambda: None
        self.mishaps: list[Mishap] = []
        """Yet to come."""
        self._broker = broker
        self._cut = False
        self._sent_until = self._answered_until = 0.0
        self._lose_sent_before = 0
        self._buffered: list[tuple[Callable[[], None], float]] = []

    def next_mishap(self, subject: str) -> Mishap | None:
        """What befalls a write to the subject; it is over with that."""
        for index, mishap in enumerate(self.mishaps):
            if matches(mishap.subjects, subject):
                return self.mishaps.pop(index)
        return None

    def send(self, action: Callable[[], None], *, late_seconds: float = 0.0) -> None:
        """Let it take effect at the broker; while the connection is down, after it is back."""
        if self.closed:
            return
        if not self.up:
            self._buffered.append((action, late_seconds))
            return
        epoch = self.epoch

        def arrive() -> None:
            if epoch >= self._lose_sent_before:
                self._broker.later(0, action)

        arrival = self._broker.now + self._broker.latency()
        if late_seconds:
            # By way of a connection that broke: it comes after what is sent later.
            self._broker.at(arrival + late_seconds, arrive)
            return
        self._sent_until = max(self._sent_until, arrival)
        self._broker.at(self._sent_until, arrive)

    def answer(self, action: Callable[[], None], *, epoch: int | None = None) -> None:
        """Bring something from the broker to the client, if the connection still holds then.

        Args:
            epoch: of the connection that it belongs to; None for the present one.
        """
        belongs_to = self.epoch if epoch is None else epoch

        def arrive() -> None:
            if self.up and not self.closed and self.epoch == belongs_to:
                action()

        arrival = self._broker.now + self._broker.latency()
        self._answered_until = max(self._answered_until, arrival)
        self._broker.at(self._answered_until, arrive)

    def drop(self, *, lose_sent: bool) -> None:
        """Break it.

        Args:
            lose_sent: what was on its way to the broker does not arrive.
        """
        if self.up:
            self.up = False
            self.epoch += 1
        if lose_sent:
            self._lose_sent_before = self.epoch

    def restore(self) -> None:
        """Make it anew, unless the broker is down or the way is cut."""
        if self.closed or self.up or self._cut or not self._broker.serving:
            return
        self.up = True
        buffered, self._buffered = self._buffered, []
        for action, late_seconds in buffered:
            self.send(action, late_seconds=late_seconds)
        self.reconnected()

    def cut(self, *, lose_sent: bool) -> None:
        """Nothing gets through until `mend`."""
        self._cut = True
        self.drop(lose_sent=lose_sent)

    def mend(self) -> None:
        """Things get through again."""
        self._cut = False
        self.restore()

    def close(self) -> None:
        """For good."""
        self.closed = True
        self.up = False
