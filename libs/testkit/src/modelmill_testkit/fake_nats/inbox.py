"""What arrives at a client of the broker in memory, and what may be said of a delivery."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from nats.errors import ConnectionClosedError, MsgAlreadyAckdError

from modelmill_testkit.fake_nats.broker import Connection, FakeBroker
from modelmill_testkit.fake_nats.consumers import Consumer, DurableConsumer
from modelmill_testkit.fake_nats.stream import StoredMessage


class Inbox:
    """What has arrived at a client and nobody has taken."""

    def __init__(self) -> None:
        self.is_open = True
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._pump: asyncio.Task[None] | None = None

    def put(self, message: Any) -> None:
        """It has arrived."""
        if self.is_open:
            self._queue.put_nowait(message)

    def at_once(self) -> Any | None:
        """The next one, if it is there already."""
        return None if self._queue.empty() else self._queue.get_nowait()

    async def next(self) -> Any:
        """The next one."""
        return await self._queue.get()

    def pump(self, take: Callable[[Any], Awaitable[None]]) -> None:
        """Hand over each from now on."""

        async def run() -> None:
            while True:
                await take(await self._queue.get())

        self._pump = asyncio.create_task(run())

    def close(self) -> None:
        """Nothing arrives any more."""
        self.is_open = False
        if self._pump is not None:
            self._pump.cancel()

    async def unsubscribe(self) -> None:
        """Hear no more."""
        await asyncio.sleep(0)
        self.close()


class BoundReader:
    """An inbox over the connection that the request came by."""

    def __init__(
        self, broker: FakeBroker, connection: Connection, inbox: Inbox, source: tuple[str, str]
    ) -> None:
        self._broker = broker
        self._inbox = inbox
        self._connection = connection
        self._epoch = connection.epoch
        self._source = source

    @property
    def listens(self) -> bool:
        """Whether the broker still sees that connection, and the inbox."""
        same = self._connection.up and self._connection.epoch == self._epoch
        return same and not self._connection.closed and self._inbox.is_open

    def take(self, message: StoredMessage, place: int, left: int) -> None:
        """On its way to the client."""
        consumer = self._broker.consumer(*self._source)
        fake = FakeMessage(self._connection, consumer, message, place, left)
        self._connection.answer(lambda: self._inbox.put(fake), epoch=self._epoch)

    def status(self, code: str, headers: dict[str, str]) -> None:
        """The same for a word of the broker."""
        word = SimpleNamespace(headers={"Status": code, **headers}, data=b"", metadata=None)
        self._connection.answer(lambda: self._inbox.put(word), epoch=self._epoch)


class FakeMessage:
    """A delivery."""

    def __init__(
        self,
        connection: Connection,
        consumer: Consumer,
        stored: StoredMessage,
        place: int,
        left: int,
    ) -> None:
        self.subject = stored.subject
        self.data = stored.data
        self.headers = dict(stored.headers)
        sequence = SimpleNamespace(stream=stored.sequence, consumer=place)
        self.metadata = SimpleNamespace(sequence=sequence, num_pending=left)
        self._connection = connection
        self._consumer = consumer
        self._acked = False

    async def ack(self) -> None:
        """It is done with. Sent without waiting, as all that follows."""
        await self._say(lambda durable, sequence: durable.ack(sequence), final=True)

    async def term(self) -> None:
        """It never comes again."""
        await self._say(lambda durable, sequence: durable.ack(sequence), final=True)

    async def nak(self, delay: float | None = None) -> None:
        """It comes again."""
        await self._say(lambda durable, sequence: durable.nak(sequence, delay), final=True)

    async def in_progress(self) -> None:
        """It is in hand."""
        await self._say(lambda durable, sequence: durable.in_progress(sequence), final=False)

    async def _say(self, word: Callable[[DurableConsumer, int], None], *, final: bool) -> None:
        if self._acked:
            raise MsgAlreadyAckdError
        if self._connection.closed:
            raise ConnectionClosedError
        await asyncio.sleep(0)
        durable, sequence = self._consumer, self.metadata.sequence.stream
        if isinstance(durable, DurableConsumer):
            self._connection.send(lambda: word(durable, sequence))
        self._acked = final
