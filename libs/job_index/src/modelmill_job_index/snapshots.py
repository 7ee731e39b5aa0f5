"""Snapshots of a read model in the SNAPSHOTS stream, for quick restarts.

In the stream and not in a file, so that a replica on an empty machine finds them, and so that they
go where the streams go. A snapshot is its parts, and then one message that names them: what is not
named does not exist. One that does not fit the stream, or itself, is ignored.
"""

import asyncio
import hashlib
import logging
import uuid
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from modelmill.jobs.v1.snapshot_pb2 import SnapshotPart, SnapshotState
from modelmill_bus.bus import Bus
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.read_model import Watermark
from modelmill_bus.subjects import snapshot_part, snapshot_state
from modelmill_service_kit.errors import DomainError, UnavailableError
from nats.js.errors import APIError

from modelmill_job_index.book import VERSION, JobBook

log = logging.getLogger(__name__)

MODEL, STREAM = "jobs", "JOBS"
PART_BYTES = 128 * 1024
"""Of a part; several hundred may be under way to a reader at a time."""
BLOCK_BYTES = 1024 * 1024
EVERY_MESSAGES = 10_000
EVERY_SECONDS = 600.0
LENGTH_BYTES = 4


class UnfitError(Exception):
    """A snapshot is not one of what the stream holds, or not whole."""


@dataclass(frozen=True)
class Content:
    """What a snapshot held."""

    last_sequence: int
    records: list[bytes]


class Snapshots:
    """Snapshots of the read model of jobs.

    Args:
        every_messages: a new one is due when so many messages were read since the last,
        every_seconds: or any at all in this time.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        every_messages: int = EVERY_MESSAGES,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._bus = bus
        self._every_messages = every_messages
        self._every_seconds = every_seconds
        self._saved = 0

    async def restore(self, book: JobBook) -> int:
        """Fill the book from the newest snapshot, and say up to where that was.

        Returns:
            The sequence behind which to read on; 0, and an empty book, when none is fit.
        """
        try:
            content = await self.newest()
            if content is None:
                return 0
            book.put(content.records)
        except (UnfitError, DomainError, APIError, DecodeError) as error:
            log.warning("no snapshot is used, all messages are read again: %s", error)
            return 0
        self._saved = content.last_sequence
        log.info("%d jobs from the snapshot at %d", len(book), content.last_sequence)
        return content.last_sequence

    async def newest(self) -> Content | None:
        """The newest snapshot; None when there is none.

        Raises:
            UnfitError: it does not belong to the stream as it is, or is damaged.
            UnavailableError: the broker is away or silent.
        """
        stored = await self._bus.last(snapshot_state(MODEL), SnapshotState)
        if stored is None:
            return None
        await self._check(stored.body)
        parts = [part async for part in self._parts(stored.body)]
        records = await asyncio.to_thread(_records, stored.body, parts)
        return Content(stored.body.last_sequence, records)

    async def keep(self, book: JobBook, read: Watermark, ready: asyncio.Event) -> None:
        """Save for ever, whenever it is due."""
        await ready.wait()
        while True:
            try:
                await read.reach(self._saved + self._every_messages, self._every_seconds)
            except UnavailableError:  # fewer messages came in this time
                if read.value == self._saved:
                    continue
            try:
                await self.save(book, read.value)
            except (DomainError, APIError) as error:
                log.warning("the snapshot of %s was not written: %s", MODEL, error)
                await asyncio.sleep(min(self._every_seconds, 60.0))

    async def save(self, book: JobBook, last_sequence: int) -> None:
        """Write a snapshot, unless another replica has written one that is as new.

        Args:
            last_sequence: up to which the book holds everything.

        Raises:
            UnavailableError: the broker is away or full; the last snapshot stays in force.
        """
        before = await self._bus.last(snapshot_state(MODEL), SnapshotState)
        if before is not None and before.body.last_sequence >= last_sequence:
            self._saved = last_sequence
            return
        facts = await self._bus.facts(STREAM)
        state = SnapshotState(
            model=MODEL,
            version=VERSION,
            snapshot_id=uuid.uuid4().hex,
            stream=STREAM,
            first_sequence=facts.first_sequence,
            last_sequence=last_sequence,
            last_body_sha256=await self._body_sha256(last_sequence),
        )
        await self._write_parts(state, book.packed())
        state.taken_at.GetCurrentTime()
        expected = before.sequence if before is not None else 0
        try:
            await self._bus.publish(snapshot_state(MODEL), state, expect_last=expected)
        except StaleWriteError:
            log.info("another replica wrote a snapshot meanwhile")
        else:
            log.info("snapshot of %d jobs at %d", state.records, last_sequence)
        self._saved = last_sequence

    async def _check(self, state: SnapshotState) -> None:
        if state.version != VERSION:
            raise UnfitError(f"it is of version {state.version}, not {VERSION}")
        facts = await self._bus.facts(STREAM)
        if facts.first_sequence != state.first_sequence:
            raise UnfitError(f"{STREAM} begins at another message")
        if facts.last_sequence < state.last_sequence:
            raise UnfitError(f"{STREAM} ends before it")
        if await self._body_sha256(state.last_sequence) != state.last_body_sha256:
            raise UnfitError(f"it was taken of another {STREAM}")

    async def _body_sha256(self, sequence: int) -> str:
        body = await self._bus.body_at(STREAM, sequence)
        return hashlib.sha256(body or b"").hexdigest()

    async def _parts(self, state: SnapshotState) -> AsyncIterator[bytes]:
        subject = snapshot_part(MODEL, state.snapshot_id)
        number = 0
        async for stored in self._bus.replay([subject]):
            # A part whose acknowledgement got lost is there twice.
            if stored.body.number == number:
                number += 1
                yield stored.body.content
        if number != state.parts:
            raise UnfitError(f"{number} of {state.parts} parts are left of it")

    async def _write_parts(self, state: SnapshotState, records: AsyncIterable[bytes]) -> None:
        digest = hashlib.sha256()
        async for content in _compressed(records, state):
            digest.update(content)
            part = SnapshotPart(number=state.parts, content=content)
            await self._bus.publish(snapshot_part(MODEL, state.snapshot_id), part)
            state.parts += 1
        state.content_sha256 = digest.hexdigest()


async def _compressed(records: AsyncIterable[bytes], state: SnapshotState) -> AsyncIterator[bytes]:
    """Parts, none longer than PART_BYTES; counts the records in `state`."""
    packer = zlib.compressobj(1)
    block, ready = bytearray(), bytearray()
    async for record in records:
        state.records += 1
        block += len(record).to_bytes(LENGTH_BYTES) + record
        if len(block) >= BLOCK_BYTES:
            ready += await asyncio.to_thread(packer.compress, bytes(block))
            block.clear()
        while len(ready) >= PART_BYTES:
            yield bytes(ready[:PART_BYTES])
            del ready[:PART_BYTES]
    ready += packer.compress(bytes(block)) + packer.flush()
    for start in range(0, len(ready), PART_BYTES):
        yield bytes(ready[start : start + PART_BYTES])


def _records(state: SnapshotState, parts: list[bytes]) -> list[bytes]:
    content = b"".join(parts)
    if hashlib.sha256(content).hexdigest() != state.content_sha256:
        raise UnfitError("its content is not what was written")
    try:
        records = [*_split(memoryview(zlib.decompress(content)))]
    except zlib.error as error:
        raise UnfitError(f"its content is no zlib stream: {error}") from error
    if len(records) != state.records:
        raise UnfitError(f"it has {len(records)} records, not {state.records}")
    return records


def _split(content: memoryview) -> Iterator[bytes]:
    start = 0
    while start < len(content):
        end = start + LENGTH_BYTES + int.from_bytes(content[start : start + LENGTH_BYTES])
        yield bytes(content[start + LENGTH_BYTES : end])
        start = end
