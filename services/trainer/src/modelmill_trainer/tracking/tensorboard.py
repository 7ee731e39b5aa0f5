"""TensorBoard tracker: writes event files without the tensorboard package.

A file is a sequence of TFRecords (length, checksum, content, checksum; little-endian) whose content
is a `tensorflow.Event` message. A run needs five of its fields, which are encoded here by hand.
"""

import asyncio
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from modelmill_trainer.tracking.tracker import (
    LoggedStep,
    RunEnd,
    TrackedRunInfo,
    TrackerRun,
    TrackingError,
)

_CASTAGNOLI = 0x82F63B78
"""The reversed polynomial of CRC-32C."""
_MASK = 0xA282EAD8
"""TFRecord's mask, which keeps checksums of data with embedded checksums sound."""


class TensorBoard:
    """Log directory with one folder per job and one event file per attempt."""

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self, facts: TrackedRunInfo) -> TrackerRun:
        """See `Tracker`."""
        file = _EventFile(self._folder / facts.job_id, facts.attempt)
        await _in_thread(file.begin)
        return file


class _EventFile:
    def __init__(self, folder: Path, attempt: int) -> None:
        self._folder = folder
        # TensorBoard reads the files of a run in order of their names.
        self._path = folder / f"events.out.tfevents.{int(time.time())}.modelmill.{attempt}"
        self._last_step = 0

    def begin(self) -> None:
        """Create the file with the version event that every event file begins with."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(record(_event(time.time(), 0, _text(3, "brain.Event:2"))))

    async def send(self, points: Sequence[LoggedStep]) -> None:
        self._last_step = points[-1].step
        await _in_thread(self._append, points, "train/")

    async def close(self, ending: RunEnd) -> None:
        whole = LoggedStep(self._last_step, time.time(), ending.figures)
        await _in_thread(self._append, [whole] if ending.figures else [], "run/")

    def _append(self, points: Sequence[LoggedStep], prefix: str) -> None:
        content = b"".join(
            record(_event(p.at_seconds, p.step, _summary(prefix, p.figures))) for p in points
        )
        with self._path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def record(content: bytes) -> bytes:
    """A TFRecord."""
    length = struct.pack("<Q", len(content))
    return b"".join(
        (length, struct.pack("<I", _masked(length)), content, struct.pack("<I", _masked(content)))
    )


def _event(at_seconds: float, step: int, what: bytes) -> bytes:
    """`tensorflow.Event`: wall_time = 1, step = 2, and file_version = 3 or summary = 5."""
    return b"\x09" + struct.pack("<d", at_seconds) + b"\x10" + _varint(step) + what


def _summary(prefix: str, figures: Mapping[str, float]) -> bytes:
    """`tensorflow.Summary` of values: tag = 1, simple_value = 2."""
    values = (
        _text(1, prefix + name) + b"\x15" + struct.pack("<f", value)
        for name, value in figures.items()
    )
    return _bytes(5, b"".join(_bytes(1, value) for value in values))


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _masked(content: bytes) -> int:
    checksum = 0xFFFFFFFF
    for byte in content:
        checksum = _table()[(checksum ^ byte) & 0xFF] ^ (checksum >> 8)
    checksum ^= 0xFFFFFFFF
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    """CRC-32C lookup table."""
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
        rows.append(byte)
    return tuple(rows)


async def _in_thread(work: Callable[..., None], *arguments: object) -> None:
    """Run file I/O in a thread: a hanging disk must not block the worker's heartbeats."""
    try:
        await asyncio.to_thread(work, *arguments)
    except OSError as error:
        raise TrackingError(f"{error.strerror or error}: {error.filename}") from error
