"""Download of one repository's files into a folder: resumable, verified, bounded.

A file that is not whole lies beside its place under the suffix `.part`, and takes its name once
its size and digest are those of the listing. Whoever is killed in between goes on from there.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from modelmill_service_kit.errors import DiskFullError, UnavailableError

from modelmill_hub.errors import (
    FalseDigestError,
    FalseSizeError,
    HubUnreachableError,
    RateLimitedError,
)
from modelmill_hub.repository import Hub, RemoteContent, RemoteFile, Repository

PART = ".part"
MOST_IDLE_TRIES = 5
"""In a row that brought nothing."""
MOST_WAIT_SECONDS = 30.0
"""A hub that asks for more is left."""
SLOWEST_BYTES, SLOW_SECONDS = 64 << 10, 60.0
"""Fewer bytes in so long count as none."""
SPARE_BYTES = 64 << 20
"""Left on the disk."""
TELL_SECONDS = 0.2
READ_BYTES = 1 << 20


class StoppedError(UnavailableError):
    """The download was told to stop; what came is kept."""


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is."""

    file: str
    done_bytes: int
    total_bytes: int
    bytes_per_second: float
    """Since the download began; 0 before anything came."""

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None where there is none."""
        if not self.bytes_per_second:
            return None
        return (self.total_bytes - self.done_bytes) / self.bytes_per_second


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass
class Transfer:
    """Downloads files of one repository.

    Attributes:
        tell: Called a few times a second.
        is_stopped: Asked between blocks.
        wait: Waits between tries.
    """

    hub: Hub
    repository: Repository
    folder: Path
    tell: Callable[[DownloadProgress], None] = lambda _: None
    is_stopped: Callable[[], bool] = lambda: False
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _total: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _came: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)
    _told: float = field(default=float("-inf"), init=False)

    def __call__(
        self, files: Sequence[RemoteFile], *, of: Sequence[RemoteFile] | None = None
    ) -> None:
        """Download what is not there yet.

        Args:
            of: All that will be downloaded, for the progress.

        Raises:
            FalseSizeError, FalseDigestError: A content is not what the listing says.
            HubUnreachableError, RateLimitedError: The hub brought nothing in several tries.
            DiskFullError: There is no space; what came is kept.
            StoppedError: As `is_stopped` says.
        """
        self._total = sum(each.size for each in of or files)
        self._done = self._came = 0
        self._began = self.clock()
        try:
            missing = [each for each in files if not self._is_there(each)]
            self._require_space(missing)
            for each in missing:
                self._fetch(each)
        except OSError as error:
            if full := DiskFullError.from_os_error(error, self.folder):
                raise full from error
            raise

    def _is_there(self, file: RemoteFile) -> bool:
        target = self.folder / file.path
        if not target.is_file() or target.stat().st_size != file.size:
            return False
        self._done += file.size
        return True

    def _require_space(self, files: Sequence[RemoteFile]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        held = sum(part.stat().st_size for each in files if (part := self._part(each)).is_file())
        needed = sum(each.size for each in files) - held
        free = shutil.disk_usage(self.folder).free - SPARE_BYTES
        if files and needed > free:
            raise DiskFullError(
                f"{self.repository.address} needs {needed / 1e6:,.0f} MB, and {self.folder} has"
                f" {max(free, 0) / 1e6:,.0f} MB left. Free space and repeat"
            )

    def _part(self, file: RemoteFile) -> Path:
        target = self.folder / file.path
        return target.with_name(target.name + PART)

    def _fetch(self, file: RemoteFile) -> None:
        part = self._part(file)
        part.parent.mkdir(parents=True, exist_ok=True)
        # Not through a link: nobody but us writes here.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, 0o600), "r+b") as content:
            incoming = _Incoming(file, content)
            was_resumed = incoming.resume()
            self._done += incoming.size
            self._complete(incoming)
            if was_resumed and not incoming.is_right():
                # The part may be of a disk that lost what was written: once more, from the start.
                self._done -= incoming.size
                incoming.restart()
                self._complete(incoming)
            if not incoming.is_right():
                incoming.restart()
                raise FalseDigestError(f"{file.path} is not the content that its listing names")
            os.fsync(content.fileno())
        part.rename(self.folder / file.path)

    def _complete(self, incoming: "_Incoming") -> None:
        """Try until the file is whole, as long as tries bring something."""
        idle = 0
        while incoming.size < incoming.file.size:
            before = incoming.size
            pause = 0.0
            try:
                self._try(incoming)
            except RateLimitedError as error:
                if error.retry_after_seconds > MOST_WAIT_SECONDS or idle >= MOST_IDLE_TRIES:
                    raise
                pause = error.retry_after_seconds
            except HubUnreachableError:
                if idle >= MOST_IDLE_TRIES:
                    raise
            brought = incoming.size - before
            idle = 0 if brought >= min(SLOWEST_BYTES, incoming.file.size // 100 + 1) else idle + 1
            if incoming.size < incoming.file.size and (idle or pause):
                self.wait(max(pause, min(2.0 ** (idle - 2), 8.0)))

    def _try(self, incoming: "_Incoming") -> None:
        """One request; it may end early."""
        file = incoming.file
        with self.hub.read(self.repository, file, incoming.size) as remote:
            if remote.size is not None and remote.size != file.size:
                raise FalseSizeError(
                    f"{file.path} has {remote.size:,} bytes, and its listing says {file.size:,}"
                )
            self._begin_at(incoming, remote)
            since, size = self.clock(), incoming.size
            for chunk in remote.chunks:
                if self.is_stopped():
                    raise StoppedError("the download was stopped. Repeat to continue")
                incoming.add(chunk)
                self._count(file, len(chunk))
                if self.clock() - since > SLOW_SECONDS:
                    if incoming.size - size < SLOWEST_BYTES:
                        raise HubUnreachableError(f"{file.path} comes too slowly. Repeat later")
                    since, size = self.clock(), incoming.size
        if incoming.size < file.size and remote.size is None:
            raise FalseSizeError(
                f"{file.path} ends after {incoming.size:,} bytes, and its listing says"
                f" {file.size:,}"
            )

    def _begin_at(self, incoming: "_Incoming", remote: RemoteContent) -> None:
        if remote.offset == incoming.size:
            return
        if remote.offset:
            raise HubUnreachableError(f"{incoming.file.path}: another part came. Repeat it")
        self._done -= incoming.size
        incoming.restart()

    def _count(self, file: RemoteFile, size: int) -> None:
        self._done += size
        self._came += size
        now = self.clock()
        if now - self._told >= TELL_SECONDS or self._done == self._total:
            self._told = now
            seconds = now - self._began
            rate = self._came / seconds if seconds > 0 else 0.0
            self.tell(DownloadProgress(file.path, self._done, self._total, rate))


class _Incoming:
    """A file as it grows, and its digest."""

    def __init__(self, file: RemoteFile, content: Any) -> None:
        self.file = file
        self.size = 0
        self._content = content
        self._digest = _digest_of(file)

    def resume(self) -> bool:
        """Read what is there; whether it was something."""
        if os.fstat(self._content.fileno()).st_size > self.file.size:
            self.restart()
        while block := self._content.read(READ_BYTES):
            self._digest.update(block)
            self.size += len(block)
        return self.size > 0

    def restart(self) -> None:
        self._content.seek(0)
        self._content.truncate()
        self.size = 0
        self._digest = _digest_of(self.file)

    def add(self, block: bytes) -> None:
        if self.size + len(block) > self.file.size:
            raise FalseSizeError(
                f"{self.file.path} goes on after {self.file.size:,} bytes, where its listing ends"
            )
        self._content.write(block)
        self._digest.update(block)
        self.size += len(block)

    def is_right(self) -> bool:
        """Whether the content is the one that the listing names."""
        self._content.flush()
        wanted = self.file.sha256 or self.file.git_sha1
        return not wanted or self._digest.hexdigest() == wanted


def _digest_of(file: RemoteFile) -> _Digest:
    """SHA-256 of the content, or git's name of it."""
    if file.sha256 or not file.git_sha1:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
