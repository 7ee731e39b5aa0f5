"""The bus as the services see it: publish, read the last, follow, consume."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.message import Message
from modelmill_service_kit.bus_access import BusTls, Credential
from modelmill_service_kit.errors import InvalidInputError, UnavailableError
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from modelmill_bus.deliveries import (
    CONSUME_ACK_WAIT_SECONDS,
    Deliveries,
    Handle,
    decoded,
    handle_one,
)
from modelmill_bus.envelope import (
    EXPECTED_LAST,
    M,
    MalformedMessageError,
    Stored,
    decode,
    encode,
    headers_for,
)
from modelmill_bus.errors import BrokerDiskFullError, StaleWriteError
from modelmill_bus.filters import stream_of
from modelmill_bus.following import Follower, last_delivered, last_of_leader
from modelmill_bus.inspection import BrokerState, state_of
from modelmill_bus.link import REQUEST_SECONDS, Link, open_link
from modelmill_bus.permissions import API, may_look_up, refuse_undeclared
from modelmill_bus.streams import StreamUsage
from modelmill_bus.subjects import STREAMS, Route, route, token

PUBLISHED = Counter(
    "modelmill_messages_published", "Messages that a stream has stored.", ["subject"]
)
PUBLISH_FAILED = Counter(
    "modelmill_messages_failed", "Publishes with no stored message to show.", ["subject", "reason"]
)


class Publishes(Protocol):
    """See `modelmill_bus.bus.Bus`."""

    async def publish(
        self,
        subject: str,
        body: Message,
        *,
        msg_id: str | None = None,
        expect_last: int | None = None,
    ) -> int: ...


LOOK_SECONDS = 0.5


async def why_unstored(
    link: Link, stream: str, what: str, error: UnavailableError, *, epoch: int
) -> UnavailableError:
    """The error of a publish, or what is behind it.

    Expected: a store that cannot write refuses the message. Actual (nats-server 2.15): it logs the
    failed write and answers nothing, while it goes on to answer questions about the stream.

    Args:
        epoch: of the connection before the publish: one that broke off explains the silence.
    """
    if not isinstance(error.__cause__, TimeoutError) or link.epoch != epoch or not link.connected:
        return error
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            async with link.request(f"read {stream}", f"{API}.STREAM.INFO.{stream}"):
                await link.js.stream_info(stream)
    except (UnavailableError, APIError, NatsError, TimeoutError):
        return error
    return BrokerDiskFullError(what) if link.epoch == epoch else error


if TYPE_CHECKING:
    # Settings take a third of what a process without any would pay for its start.
    from modelmill_service_kit.settings import ServiceSettings

__all__ = ["Bus", "StaleWriteError", "Stored"]

tracer = trace.get_tracer(__name__)

WRONG_LAST_SEQUENCE = (10071, 10164)
NO_MESSAGE = (10037, 10057, 10043)
"""Of a deletion: what is deleted already."""
LOSSY = frozenset(stream.name for stream in STREAMS if stream.lossy)
CONSUME_TURN_SECONDS = 0.5


class Bus:
    """One JetStream connection, shared by all tasks of a process; reconnects for ever."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        credential: Credential,
        *,
        name: str,
        tls: BusTls | None = None,
        replicas: int = 1,
    ) -> AsyncIterator["Bus"]:
        """A bus with its streams in place, closed when the block ends; see `open_link`.

        Args:
            name: the service; shown in the broker's monitoring and in `ce-source`, and the name
                of its identity.

        Raises:
            UnavailableError: no broker or no streams within 30 s, or it refuses the credential.
            PreconditionError: a file of the credential or of TLS cannot be used.
        """
        async with open_link(url, credential, name=name, tls=tls, replicas=replicas) as link:
            yield cls(link, name)

    @classmethod
    def of(cls, settings: "ServiceSettings", *, name: str) -> AbstractAsyncContextManager["Bus"]:
        """`connect` as a service was told to."""
        tls, credential = settings.nats_tls, settings.nats_credential
        replicas = settings.nats_replicas
        return cls.connect(settings.nats_url, credential, name=name, tls=tls, replicas=replicas)

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as this side knows."""
        return self._link.connected

    async def publish(
        self,
        subject: str,
        body: Message,
        *,
        msg_id: str | None = None,
        expect_last: int | None = None,
        kept_seconds: float | None = None,
    ) -> int:
        """Store a message and return its sequence, within about three seconds.

        Args:
            msg_id: a second publish with the same id within the stream's window stores nothing
                and returns the first one's sequence.
            expect_last: store only if the subject's last sequence is this; 0 means none yet.
            kept_seconds: the broker forgets it then; only in streams of which the table says so.

        Raises:
            StaleWriteError: `expect_last` is not the last sequence.
            StreamFullError: there is no room; nothing was stored, nothing that is there is lost.
            UnavailableError: the broker is away or silent, or (BrokerDiskFullError) stores nothing.
                The message may be stored, or be later: find out before writing something else.
            InvalidInputError: the subject is not in the table.
        """
        where = route(subject)
        if not isinstance(body, where.body):
            raise TypeError(f"{subject} carries {where.body.__name__}, not {type(body).__name__}")
        headed = partial(headers_for, body, msg_id=msg_id, kept_seconds=kept_seconds)
        in_a_trace = trace.get_current_span().get_span_context().is_valid
        if where.stream in LOSSY or not in_a_trace:
            # Progress would bury a trace; what no request brought about is nobody's.
            return await self._store(where, subject, body, headed, expect_last)
        with tracer.start_as_current_span(
            f"publish {where.template}",
            kind=SpanKind.PRODUCER,
            attributes={"messaging.system": "nats", "messaging.destination.name": where.template},
            record_exception=False,
        ):
            return await self._store(where, subject, body, headed, expect_last)

    async def _store(
        self,
        where: Route,
        subject: str,
        body: Message,
        headed: Callable[..., dict[str, str]],
        expect_last: int | None,
    ) -> int:
        headers = headed(subject=subject, source=self._name)
        if expect_last is not None:
            headers[EXPECTED_LAST] = str(expect_last)
        what, epoch = f"publish {where.template}", self._link.epoch
        try:
            async with self._link.request(what, subject):
                ack = await self._link.js.publish(
                    subject, encode(body), timeout=REQUEST_SECONDS, headers=dict(headers)
                )
        except UnavailableError as error:
            PUBLISH_FAILED.labels(subject=where.template, reason="unavailable").inc()
            why = await why_unstored(self._link, where.stream, what, error, epoch=epoch)
            if why is error:
                raise
            raise why from error
        except APIError as error:
            if error.err_code not in WRONG_LAST_SEQUENCE:
                raise
            PUBLISH_FAILED.labels(subject=where.template, reason="stale").inc()
            raise StaleWriteError.of(subject, error) from error
        PUBLISHED.labels(subject=where.template).inc()
        return int(ack.seq)

    async def last(self, subject: str, kind: type[M]) -> Stored[M] | None:
        """The newest message of a subject, read from the stream's leader; None when there is none.

        Raises:
            UnavailableError: the broker is away or silent.
            MalformedMessageError: it is not a message of that kind.
        """
        where = route(subject)
        raw = await last_of_leader(self._link, where.stream, subject, f"read {where.template}")
        if raw is None:
            return None
        return decode(raw.seq, subject, raw.data or b"", raw.headers, kind)

    async def last_by_consumer(self, subject: str, kind: type[M]) -> Stored[M] | None:
        """As `last`, for those who may read this row of the stream but not the others.

        It is read by a consumer: of a stream with replicas it may be the last but one for a
        moment, so it is nothing to fence with.

        Raises:
            UnavailableError: the broker is away or silent.
        """
        where = route(subject)
        raw = await last_delivered(self._link, where.stream, subject, f"read {where.template}")
        if raw is None:
            return None
        return decode(raw.metadata.sequence.stream, subject, raw.data, raw.headers, kind)

    async def newest_sequence(self, subjects: str) -> int:
        """Of the newest message that passes a filter; 0 when none does.

        Read as by `last`, or as by `last_by_consumer` by those who may not read the whole stream.

        Raises:
            UnavailableError: the broker is away or silent.
        """
        stream = stream_of((subjects,))
        if may_look_up(self._name, stream):
            raw = await last_of_leader(self._link, stream, subjects, f"read {stream}")
            return 0 if raw is None else int(raw.seq)
        raw = await last_delivered(self._link, stream, subjects, f"read {stream}")
        return 0 if raw is None else int(raw.metadata.sequence.stream)

    async def facts(self, stream: str) -> StreamUsage:
        """How much a stream holds and how much it may.

        Raises:
            UnavailableError: the broker is away or silent.
        """
        async with self._link.request(f"read {stream}", f"{API}.STREAM.INFO.{stream}"):
            return StreamUsage.of(await self._link.js.stream_info(stream))

    async def inspect(self, *, clock: Callable[[], float] = time.time) -> BrokerState:
        """What the broker says of itself and of the streams that this identity sees.

        Raises:
            UnavailableError: the broker is away or silent.
        """
        async with self._link.request("inspect the broker", f"{API}.STREAM.INFO.*"):
            return await state_of(self._link, self._name, clock)

    async def used_bytes(self, stream: str) -> int:
        """What a stream takes of the broker's disk; 0 where there is no such stream.

        Raises:
            UnavailableError: the broker is away or silent.
        """
        async with self._link.request(f"read {stream}", f"{API}.STREAM.INFO.{stream}"):
            try:
                return StreamUsage.of(await self._link.js.stream_info(stream)).used_bytes
            except NotFoundError:
                return 0

    async def last_sequence(self, stream: str) -> int:
        """Sequence of the newest message of a stream, 0 when it has none.

        To those who may not read the whole stream it may be that of a message that was erased.

        Raises:
            UnavailableError: the broker is away or silent.
        """
        if not may_look_up(self._name, stream):
            return (await self.facts(stream)).last_sequence
        # Of `>` the broker takes the last place, and finds nothing there if it was erased.
        (found,) = (each for each in STREAMS if each.name == stream)
        families = {row.template.partition(".")[0] for row in found.rows}
        last = [
            await last_of_leader(self._link, stream, f"{family}.>", f"read {stream}")
            for family in families
        ]
        return max((int(raw.seq) for raw in last if raw is not None), default=0)

    async def body_at(self, stream: str, sequence: int) -> bytes | None:
        """The body at a place of a stream as it was written; None when there is none.

        Raises:
            UnavailableError: the broker is away or silent.
        """
        try:
            async with self._link.request(f"read {stream}", f"{API}.STREAM.MSG.GET.{stream}"):
                raw: Any = await self._link.js.get_msg(stream, sequence)
        except NotFoundError:
            return None
        return raw.data or b""

    async def stored_at(self, stream: str, sequence: int) -> Stored[Any] | None:
        """The message at a place of a stream; None when there is none, or none of the table's.

        Raises:
            UnavailableError: the broker is away or silent.
        """
        try:
            async with self._link.request(f"read {stream}", f"{API}.STREAM.MSG.GET.{stream}"):
                raw: Any = await self._link.js.get_msg(stream, sequence)
        except NotFoundError:
            return None
        try:
            kind = route(raw.subject).body
            return decode(raw.seq, raw.subject, raw.data or b"", raw.headers, kind)
        except (InvalidInputError, MalformedMessageError):
            return None

    async def erase(self, stream: str, sequence: int) -> None:
        """Delete one message of a stream and overwrite its bytes; there may be none any more.

        Raises:
            UnavailableError: the broker is away or silent.
            NotAllowedError: somebody else is the stream's eraser.
        """
        try:
            async with self._link.request(f"erase {stream}", f"{API}.STREAM.MSG.DELETE.{stream}"):
                await self._link.js.delete_msg(stream, sequence)
        except APIError as error:
            if error.err_code not in NO_MESSAGE:
                raise

    async def follow(
        self,
        subjects: Sequence[str],
        kinds: Mapping[str, type[Message]] | None = None,
        *,
        after: int = 0,
        on_current: Callable[[], None] | None = None,
    ) -> AsyncIterator[Stored[Any]]:
        """Every message of `subjects` in order, replayed from the start and then as they come.

        Goes on across reconnects and broker restarts, each message once. A message that does not
        parse is logged and left out.

        Args:
            subjects: filters of one stream; `*` and a last `>` allowed.
            kinds: body types by row of the table, where they differ from the table's.
            after: begin behind this sequence.
            on_current: called each time all that is stored has been handed out, also when there
                is nothing; a read model is ready then.
        """
        stream = stream_of(tuple(subjects))
        follower = Follower(self._link, stream, subjects, after=after, on_current=on_current)
        async with aclosing(follower.messages()) as messages:  # type: ignore[type-var]
            async for message in messages:
                stored = decoded(message, kinds)
                if stored is not None:
                    yield stored

    async def replay(
        self, subjects: Sequence[str], *, since: datetime | None = None
    ) -> AsyncIterator[Stored[Any]]:
        """What `subjects` of one stream hold now, in order, from `since` on; then it ends."""
        stream = stream_of(tuple(subjects))
        follower = Follower(self._link, stream, subjects, since=since, ends=True)
        async with aclosing(follower.messages()) as messages:  # type: ignore[type-var]
            async for message in messages:
                stored = decoded(message)
                if stored is not None:
                    yield stored

    def deliveries(
        self, durable: str, subjects: Sequence[str], *, ack_wait_seconds: float
    ) -> Deliveries:
        """The durable pull consumer of that name; see `consume` for the usual loop around it."""
        stream = stream_of(tuple(subjects))
        refuse_undeclared(self._name, stream, token(durable, "durable"))
        return Deliveries(self._link, stream, durable, subjects, ack_wait_seconds)

    async def consume(
        self, durable: str, subjects: Sequence[str], handle: Handle, stopping: asyncio.Event
    ) -> None:
        """Hand each message to `handle` until `stopping`; acknowledge after it returned.

        An exception of `handle` is logged and the message comes again a second later. Messages may
        come twice and, after a failure, out of order: `handle` must be idempotent.
        """
        deliveries = self.deliveries(durable, subjects, ack_wait_seconds=CONSUME_ACK_WAIT_SECONDS)
        try:
            while not stopping.is_set():
                message = await deliveries.next(timeout=CONSUME_TURN_SECONDS)
                if message is not None:
                    await handle_one(message, handle)
        finally:
            await deliveries.close()
