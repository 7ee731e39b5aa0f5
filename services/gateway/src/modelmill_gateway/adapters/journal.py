"""The journal of one process: reservations and totals in a file that is mapped into its memory.

What is stored is in the kernel's pages at once, so that it outlives the process, however that ends.
It does not outlive the machine's power: there is no fsync. Then the lease that the budgets' records
name is charged in full, as of a process that never returns.
"""

import fcntl
import mmap
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from modelmill_gateway.domain.ledger.slots import ROW, Size, Slots

MOST_PROCESSES = 256


@contextmanager
def own_file(folder: Path, name: str) -> Iterator[BinaryIO]:
    """The first that no other process has, unbuffered; made when there is none.

    Args:
        name: with {} where its number stands.

    Raises:
        OSError: the folder cannot be written, or too many processes have a file in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(MOST_PROCESSES):
        path = folder / name.format(number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield file
            return
    raise OSError(f"{MOST_PROCESSES} processes have a file in {folder} already")


WORD = 8
MAGIC = int.from_bytes(b"mmledger"[:7] + b"\x02", "little")
"""With the version of the layout: a journal of another is begun anew."""
MAGIC_AT, HIGH, LOW, ACCOUNTS_AT, SLOTS_AT = range(5)


class Journal:
    """Journal of quota use: slots, and the id under which this process holds leases."""

    def __init__(self, holder_id: str, slots: Slots, recovered: int) -> None:
        self.holder_id = holder_id
        self.slots = slots
        self.recovered = recovered
        """Requests of a process that died, which were settled when this one began."""


@contextmanager
def open_journal(folder: Path, size: Size | None = None) -> Iterator[Journal]:
    """The first journal of the folder that no other process has; made when there is none.

    Raises:
        OSError: the folder cannot be written, or its disk is full.
    """
    with own_file(folder, "holder-{}.journal") as file:
        size = _prepare(file, size or Size())
        # A hole that is written through a map on a full disk would end the process (SIGBUS).
        os.posix_fallocate(file.fileno(), 0, (ROW + size.words) * WORD)
        with mmap.mmap(file.fileno(), (ROW + size.words) * WORD) as mapped:
            words = memoryview(mapped).cast("Q")
            body = words[ROW:]
            try:
                holder = uuid.UUID(int=(words[HIGH] << 64) | words[LOW])
                slots = Slots(body, size)  # type: ignore[arg-type]
                yield Journal(f"holder-{holder.hex}", slots, slots.recover())
            finally:
                body.release()
                words.release()


def _prepare(file: BinaryIO, size: Size) -> Size:
    """The size of what is there, or a new journal of that size, its first word last."""
    header = memoryview(file.read(ROW * WORD).ljust(ROW * WORD, b"\0")).cast("Q")
    if header[MAGIC_AT] == MAGIC:
        return Size(header[ACCOUNTS_AT], header[SLOTS_AT])
    file.truncate(0)
    file.truncate((ROW + size.words) * WORD)
    name = uuid.uuid4().int
    words = [0] * ROW
    words[HIGH], words[LOW] = name >> 64, name & (2**64 - 1)
    words[ACCOUNTS_AT], words[SLOTS_AT] = size.accounts, size.slots
    os.pwrite(file.fileno(), b"".join(word.to_bytes(WORD, "little") for word in words), 0)
    os.pwrite(file.fileno(), MAGIC.to_bytes(WORD, "little"), 0)
    return size
