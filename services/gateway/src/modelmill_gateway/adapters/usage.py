"""Usage records on their way to the bus: behind the answers, never in front of them."""

import asyncio
import logging
import os
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded
from modelmill_bus.bus import Publishes
from modelmill_bus.record_queue import Waiting, publish_patiently
from modelmill_bus.subjects import usage_recorded

from modelmill_gateway.adapters.journal import own_file
from modelmill_gateway.metrics import USAGE_DROPPED, USAGE_SPILLED

WORD = 8
HEAD = 2 * WORD
"""Of a batch: how long it is, and its checksum."""
ID_CHARS = 32


class Going(NamedTuple):
    """Batch of records with its message id, the same at each attempt."""

    batch: UsageBatch
    msg_id: str


class UsageSpill:
    """Batches for which neither bus nor memory has room, on disk until the bus takes them.

    In their order, each under the id with which it goes out, however often that is. Written at
    once when there is something to write, which is seldom and then a batch at a time: no thread of
    its own. It outlives the process, not the machine's power, for there is no fsync.

    Args:
        file: the first word says from where on it is still to be sent.
        most_bytes: of the whole file.
    """

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._begin = max(WORD, int.from_bytes(os.pread(file.fileno(), WORD, 0), "little"))
        self._end = self._begin
        while (body := self._at(self._end)) is not None:
            self._end += HEAD + len(body)
        # What a death tore is no batch.
        os.ftruncate(file.fileno(), self._end)
        self._report()

    def put(self, msg_id: str, batch: UsageBatch) -> bool:
        """Take a batch; false when there is no room, in the file or on the disk."""
        body = msg_id.encode() + batch.SerializeToString()
        written = _word(len(body)) + _word(zlib.crc32(body)) + body
        if self._end + len(written) > self._most_bytes:
            return False
        try:
            complete = os.pwrite(self._file.fileno(), written, self._end) == len(written)
        except OSError as error:
            log.warning("usage records cannot wait on disk: %s", error)
            return False
        if complete:
            self._end += len(written)
            self._report()
        return complete

    def first(self) -> Going | None:
        """The oldest that is to be sent; None when there is none."""
        body = self._at(self._begin) if self._begin < self._end else None
        if body is None:
            return None
        return Going(UsageBatch.FromString(body[ID_CHARS:]), body[:ID_CHARS].decode())

    def sent(self) -> None:
        """The oldest is done with."""
        body = self._at(self._begin)
        assert body is not None, "something was sent"
        self._begin += HEAD + len(body)
        if self._begin >= self._end:
            # First of all, lest a death in between leaves batches that were sent to be sent.
            os.ftruncate(self._file.fileno(), WORD)
            self._begin = self._end = WORD
        os.pwrite(self._file.fileno(), _word(self._begin), 0)
        self._report()

    def close(self) -> None:
        """From now on it takes nothing and has nothing; what is in the file stays."""
        self._begin = self._end = WORD
        self._most_bytes = 0

    def _at(self, place: int) -> bytes | None:
        head = os.pread(self._file.fileno(), HEAD, place)
        if len(head) < HEAD:
            return None
        size, checksum = (int.from_bytes(word, "little") for word in (head[:WORD], head[WORD:]))
        if size > self._most_bytes:
            return None
        body = os.pread(self._file.fileno(), size, place + HEAD)
        is_whole = len(body) == size > ID_CHARS and zlib.crc32(body) == checksum
        return body if is_whole else None

    def _report(self) -> None:
        USAGE_SPILLED.set(self._end - self._begin)


@contextmanager
def open_spill(folder: Path, most_bytes: int) -> Iterator[UsageSpill]:
    """This process's own, with what the one before left in it."""
    with own_file(folder, "usage-{}.spill") as file:
        spill = UsageSpill(file, most_bytes)
        try:
            yield spill
        finally:
            spill.close()


def _word(number: int) -> bytes:
    return number.to_bytes(WORD, "little")


log = logging.getLogger(__name__)

GATHER_SECONDS = 0.25
"""Records of so long go out in one message: one each cost an answer a quarter of a millisecond."""
MOST_AT_ONCE = 250
"""Records of a message: half of what the bus takes, were each as long as one can be."""


class UsageQueue:
    """A bounded queue in front of `usage.recorded.<tenant>`.

    While the bus is away, or has no room, records wait: up to the bound here, then on disk, and so
    does at the end what is not published by then. What is too much for the disk, too, is dropped
    and counted.

    Args:
        size: records that may wait in memory.
        spill: where more of them wait.
    """

    def __init__(self, bus: Publishes, size: int, spill: UsageSpill | None = None) -> None:
        self._bus = bus
        self._size = size
        self._spill = spill
        self._waiting: dict[str, list[UsageRecorded]] = {}
        """By tenant, in the order in which they came."""
        self._going: Going | None = None
        """Of those that waited here, the batch that is under way."""
        self._count = 0
        """Of all that wait here and of those that are under way."""
        self._has_ended = False
        self._has_some, self._has_none = asyncio.Event(), asyncio.Event()
        if spill is None or spill.first() is None:
            self._has_none.set()
        else:
            self._has_some.set()

    def record(self, usage: UsageRecorded) -> None:
        """Take the record; returns at once, whatever the bus does."""
        if self._count >= self._size and not self._make_room():
            # All that is here is under way.
            if not self._on_disk(UsageBatch(tenant=usage.tenant, requests=[usage])):
                USAGE_DROPPED.inc()
            return
        self._count += 1
        self._waiting.setdefault(usage.tenant, []).append(usage)
        self._has_none.clear()
        self._has_some.set()

    async def run(self) -> None:
        """Publish what waits until cancelled."""
        while not self._has_ended:
            await self._has_some.wait()
            await asyncio.sleep(GATHER_SECONDS)
            while not self._has_ended:
                if self._waiting:
                    self._going = going = self._next()
                    await self._publish(going)
                    self._count -= len(going.batch.requests)
                    self._going = None
                elif self._spill is not None and (spilled := self._spill.first()) is not None:
                    await self._publish(spilled)
                    if not self._has_ended:
                        self._spill.sent()
                else:
                    break
            self._has_some.clear()
            self._has_none.set()

    async def drain(self, timeout: float) -> None:
        """Wait until everything is published, at most `timeout` seconds; the rest goes to disk."""
        try:
            await asyncio.wait_for(self._has_none.wait(), timeout)
        except TimeoutError:
            self._has_ended = True
            lost = 0
            while (left := self._going or (self._next() if self._waiting else None)) is not None:
                self._going = None
                if self._spill is None or not self._spill.put(left.msg_id, left.batch):
                    lost += len(left.batch.requests)
            USAGE_DROPPED.inc(lost)
            log.warning("usage records were not published by the end; %d were dropped", lost)

    def _make_room(self) -> bool:
        """Let the next batch wait on disk instead, if it can."""
        batch = self._first() if self._waiting else None
        if batch is None or not self._on_disk(batch):
            return False
        self._remove(batch)
        self._count -= len(batch.requests)
        return True

    def _on_disk(self, batch: UsageBatch) -> bool:
        return self._spill is not None and self._spill.put(uuid.uuid4().hex, batch)

    def _first(self) -> UsageBatch:
        tenant, records = next(iter(self._waiting.items()))
        return UsageBatch(tenant=tenant, requests=records[:MOST_AT_ONCE])

    def _remove(self, batch: UsageBatch) -> None:
        rest = self._waiting.pop(batch.tenant)[len(batch.requests) :]
        if rest:
            self._waiting[batch.tenant] = rest

    def _next(self) -> Going:
        """The next batch, taken out."""
        batch = self._first()
        self._remove(batch)
        return Going(batch, uuid.uuid4().hex)

    async def _publish(self, going: Going) -> None:
        subject = usage_recorded(going.batch.tenant)
        waiting = Waiting(subject, going.batch, going.msg_id)
        if not await publish_patiently(self._bus, "usage records", waiting):
            USAGE_DROPPED.inc(len(going.batch.requests))


log = logging.getLogger(__name__)
