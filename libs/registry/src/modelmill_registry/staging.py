"""Work in progress: the copy of a file that is hashed, judged and kept, not the original."""

import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelmill_service_kit.errors import InvalidInputError

from modelmill_registry.durable import make_folder, make_read_only
from modelmill_registry.errors import CommitAbandonedError
from modelmill_registry.folder_scan import open_inside
from modelmill_registry.manifest import FileEntry
from modelmill_registry.unsafe_content import unsafe_reason

_CHUNK_BYTES = 1 << 20
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class StagedFile:
    """A read-only, synced copy that nobody else knows of."""

    entry: FileEntry
    path: Path
    """Where the copy is; whoever keeps it may rename it away."""


class Staging:
    """A folder for what is not finished; what dead processes left there is swept after a day."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.folder = folder
        self._abandoned = threading.Event()

    def abandon(self) -> None:
        """From now on `go_on` says no."""
        self._abandoned.set()

    def go_on(self) -> None:
        """Raise CommitAbandonedError when the process is about to end."""
        if self._abandoned.is_set():
            raise CommitAbandonedError("stopped before everything was stored")

    def new(self, word: str) -> Path:
        """A path that nobody else has."""
        return self.folder / f"{word}-{uuid.uuid4().hex}"

    @contextmanager
    def copy_of(self, folder: Path, path: str, *, kind: str) -> Iterator[StagedFile]:
        """A copy of one file of `folder`, removed at the end unless it was renamed away.

        Raises:
            InvalidInputError: The copy may not enter an artifact of `kind`.
            CommitAbandonedError: `abandon` was called.
        """
        staged = self.new("blob")
        try:
            with open_inside(folder, path) as source, staged.open("x+b") as copy:
                hasher = hashlib.sha256()
                while chunk := source.read(_CHUNK_BYTES):
                    self.go_on()
                    hasher.update(chunk)
                    copy.write(chunk)
                copy.flush()
                size = copy.tell()
                copy.seek(0)
                reason = unsafe_reason(path, copy, kind=kind)
                if reason:  # it was changed after the first look
                    raise InvalidInputError(f"{path} {reason}")
                make_read_only(copy.fileno())
                os.fsync(copy.fileno())
            entry = FileEntry(path=path, size=size, sha256=hasher.hexdigest())
            yield StagedFile(entry, staged)
        finally:
            staged.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed processes left behind."""
        oldest = time.time() - _STALE_SECONDS
        for left in self.folder.iterdir():
            try:
                if left.lstat().st_mtime > oldest:
                    continue
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()
            except FileNotFoundError:
                continue  # another process swept it first
