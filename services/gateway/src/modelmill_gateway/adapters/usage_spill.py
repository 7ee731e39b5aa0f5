"""Usage records for which neither bus nor memory has room, on disk until the bus takes them.

Written at once when there is something to write, which is seldom and then a batch at a time: no
thread of its own. It outlives the process, not the machine's power, for there is no fsync.
"""

import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch

from modelmill_gateway.adapters.journal import own_file
from modelmill_gateway.metrics import USAGE_SPILLED

log = logging.getLogger(__name__)

WORD = 8
HEAD = 2 * WORD
"""Of a batch: how long it is, and its checksum."""
ID_CHARS = 32


class Going(NamedTuple):
    """A batch, and its id for all attempts."""

    batch: UsageBatch
    msg_id: str


class UsageSpill:
    """Batches in their order, each under the id with which it goes out, however often that is.

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
