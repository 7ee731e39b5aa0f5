"""The face of nats-py that `jobs` looks at, over the broker in memory."""

import asyncio
import contextvars
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from itertools import count
from types import SimpleNamespace
from typing import Any

from nats.errors import ConnectionClosedError
from nats.errors import TimeoutError as NatsTimeoutError

from modelmill_testkit.fake_nats.broker import Connection, FakeBroker, Mishap
from modelmill_testkit.fake_nats.consumers import describe
from modelmill_testkit.fake_nats.inbox import BoundReader, Inbox
from modelmill_testkit.fake_nats.stream import StoredMessage

NEXT = "$JS.API.CONSUMER.MSG.NEXT."
NANO = 1_000_000_000
Action = Callable[[], Any]


class FakeClient:
    """One client. Make it where its process runs: what it is called back for happens there."""

    def __init__(self, broker: FakeBroker) -> None:
        self.connection: Connection = broker.connect()
        self.options: dict[str, Any] = {}
        self.on_reconnect: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.broker = broker
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._inboxes: dict[str, Inbox] = {}
        self._numbers = count(1)
        self.connection.reconnected = self._reconnected

    @property
    def is_connected(self) -> bool:
        """As far as this side knows."""
        return self.connection.up and not self.connection.closed

    def jetstream(self, timeout: float) -> "FakeJetStream":
        """Requests wait so long, in seconds."""
        return FakeJetStream(self, timeout)

    def new_inbox(self) -> str:
        """A name that nobody else has."""
        return f"_INBOX.{next(self._numbers)}"

    async def subscribe(self, inbox: str, cb: Callable[[Any], Awaitable[None]]) -> "Inbox":
        """Have `cb` called for each message of an inbox, one after the other."""
        await asyncio.sleep(0)
        made = self.open_inbox(inbox)
        made.pump(cb)
        return made

    async def publish(self, subject: str, payload: bytes, reply: str) -> None:
        """Requests for messages of a consumer; jobs publishes nothing else this way."""
        await asyncio.sleep(0)
        stream, consumer = subject.removeprefix(NEXT).split(".")
        asked, inbox = json.loads(payload), self._inboxes[reply]
        self.pull(stream, consumer, inbox, asked["batch"], asked["expires"] / NANO)

    def pull(self, stream: str, name: str, inbox: "Inbox", wanted: int, seconds: float) -> None:
        """Ask a consumer for messages into an inbox."""

        def ask() -> None:
            reader = BoundReader(self.broker, self.connection, inbox, (stream, name))
            self.broker.pull(stream, name, reader, wanted, seconds)

        self.connection.send(ask)

    def open_inbox(self, name: str) -> "Inbox":
        """Where the broker may send to."""
        made = self._inboxes[name] = Inbox()
        return made

    async def request(self, effect: Action, timeout: float, mishap: Mishap | None = None) -> Any:
        """The broker's answer to what `effect` does there.

        Raises:
            nats.errors.TimeoutError: no answer in time; it may have taken effect, or will.
        """
        if self.connection.closed:
            raise ConnectionClosedError
        answer: asyncio.Future[tuple[Any, Exception | None]] = self._loop.create_future()
        mishap = mishap or Mishap()
        mishap.meanwhile()

        def settle(outcome: tuple[Any, Exception | None]) -> None:
            if not answer.done():
                answer.set_result(outcome)

        def take_effect() -> None:
            outcome = _outcome(effect)
            if not mishap.lose_answer:
                self.connection.answer(lambda: settle(outcome))

        self.connection.send(take_effect, late_seconds=mishap.late_seconds)
        try:
            # As nats-py waits, with the weakness of `wait_for` in Python 3.11 for a cancel that
            # meets the answer.
            result, error = await asyncio.wait_for(answer, timeout)
        except TimeoutError as silence:
            raise NatsTimeoutError from silence
        if error is not None:
            raise error
        return result

    async def flush(self, timeout: float) -> None:
        """Everything is sent at once here."""
        await asyncio.sleep(0)

    async def close(self) -> None:
        """For good."""
        self.connection.close()
        await asyncio.sleep(0)

    def _reconnected(self) -> None:
        if self.on_reconnect is not None:
            self._loop.create_task(self.on_reconnect(), context=self._context)


class FakeJetStream:
    """Streams and consumers by request."""

    def __init__(self, client: FakeClient, timeout: float) -> None:
        self._client = client
        self._broker = client.broker
        self._timeout = timeout

    async def publish(
        self, subject: str, payload: bytes, timeout: float, headers: Mapping[str, str]
    ) -> Any:
        """Store a message; the one request that mishaps befall."""
        mishap, sent = self._client.connection.next_mishap(subject), dict(headers)
        return await self._client.request(
            lambda: self._broker.store(subject, payload, sent), timeout, mishap
        )

    async def get_last_msg(self, stream: str, subject: str) -> Any:
        """The newest of a subject, from the leader."""
        return await self._ask(lambda: _raw(self._broker.stream(stream).last(subject)))

    async def get_msg(self, stream: str, seq: int) -> Any:
        """The message at a place."""
        return await self._ask(lambda: _raw(self._broker.stream(stream).at(seq)))

    async def stream_info(self, name: str) -> Any:
        """State and limits."""
        return await self._ask(lambda: self._broker.stream(name).info())

    async def add_stream(self, config: Any) -> None:
        """Create it."""
        await self._ask(lambda: self._broker.add_stream(config))

    async def update_stream(self, config: Any) -> None:
        """Other limits or subjects."""
        await self._ask(lambda: setattr(self._broker.stream(config.name), "config", config))

    async def add_consumer(self, stream: str, config: Any) -> Any:
        """Create it, or change the durable one."""
        return await self._ask(lambda: describe(self._broker.add_consumer(stream, config)))

    async def consumer_info(self, stream: str, name: str) -> Any:
        """Its counts."""
        return await self._ask(lambda: describe(self._broker.consumer(stream, name)))

    async def pull_subscribe_bind(self, durable: str, stream: str) -> "PullSubscription":
        """An inbox for the messages of a durable consumer."""
        await asyncio.sleep(0)
        return PullSubscription(self._client, durable, stream)

    async def _ask(self, effect: Action) -> Any:
        return await self._client.request(effect, self._timeout)


class PullSubscription:
    """Asks a durable consumer for one message at a time."""

    def __init__(self, client: FakeClient, durable: str, stream: str) -> None:
        self._client = client
        self._durable, self._stream = durable, stream
        self._inbox = client.open_inbox(client.new_inbox())

    async def fetch(self, batch: int, timeout: float) -> list[Any]:
        """One message; what came after an earlier request had ended is taken first.

        Raises:
            nats.errors.TimeoutError: none came in time.
        """
        while (waiting := self._inbox.at_once()) is not None:
            if waiting.metadata is not None:
                return [waiting]
        await asyncio.sleep(0)
        self._client.pull(self._stream, self._durable, self._inbox, batch, timeout)
        until = time.monotonic() + timeout
        while True:
            try:
                message = await asyncio.wait_for(self._inbox.next(), until - time.monotonic())
            except TimeoutError as silence:
                raise NatsTimeoutError from silence
            if message.metadata is not None:
                return [message]
            raise NatsTimeoutError

    async def unsubscribe(self) -> None:
        """Hear no more."""
        await asyncio.sleep(0)
        self._inbox.close()


def _outcome(effect: Action) -> tuple[Any, Exception | None]:
    try:
        return effect(), None
    except Exception as error:
        return None, error


def _raw(stored: StoredMessage) -> SimpleNamespace:
    return SimpleNamespace(
        seq=stored.sequence,
        subject=stored.subject,
        data=stored.data,
        headers=dict(stored.headers),
        time=stored.at,
    )
