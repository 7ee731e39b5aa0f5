"""Reading a folder that nobody vouches for: regular files only, no link is ever followed."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelmill_registry.manifest import path_problem


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
                problems.append(f"{path} is a link")
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
