"""Staging of artifacts: the copy of a file is hashed, judged and kept, not the original.

The original folder is nobody's responsibility: regular files only, no link is ever followed.
"""

import hashlib
import os
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelmill_service_kit.errors import InvalidInputError

from modelmill_registry.blobs import make_folder, make_read_only
from modelmill_registry.errors import CommitAbandonedError
from modelmill_registry.manifest import FileEntry, path_problem
from modelmill_registry.unsafe_content import unsafe_reason


@dataclass(frozen=True)
class FolderScan:
    """What a folder holds."""

    paths: tuple[str, ...]
    """Relative paths of its regular files, sorted."""
    problems: tuple[str, ...]
    """One line for each thing that is no regular file, or whose name cannot be kept."""


def scan_folder(folder: Path) -> FolderScan:
    """List `folder` and everything below it; the folder itself may not be a link either."""
    if folder.is_symlink() or not folder.is_dir():
        return FolderScan((), (f"{folder.name} is not a folder",))
    paths: list[str] = []
    problems: list[str] = []
    _scan(folder, "", paths, problems)
    return FolderScan(tuple(sorted(paths)), tuple(sorted(problems)))


def _scan(folder: Path, prefix: str, paths: list[str], problems: list[str]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            problem = path_problem(path)
            if problem:
                problems.append(f"{path!r} {problem}")
            elif entry.is_symlink():
                problems.append(f"{path} is a link, which is not followed: `cp -rL` copies without")
            elif entry.is_dir(follow_symlinks=False):
                _scan(folder / entry.name, f"{path}/", paths, problems)
            elif entry.is_file(follow_symlinks=False):
                paths.append(path)
            else:
                problems.append(f"{path} is neither a file nor a folder")


@contextmanager
def open_inside(folder: Path, path: str) -> Iterator[BinaryIO]:
    """Open a regular file below `folder`, refusing a link at any step of the way.

    Raises:
        OSError: A part of the path is, or has meanwhile become, a link or something else.
    """
    *parents, name = path.split("/")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        # O_NONBLOCK: opening a pipe that replaced the file must not wait for a writer.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    with os.fdopen(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(f"{path} is not a regular file")
        yield stream


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
