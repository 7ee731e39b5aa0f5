"""A repository as its hub lists it, and the interface of hubs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from modelmill_registry.manifest import path_problem

from modelmill_hub.address import HubAddress
from modelmill_hub.errors import FalseSizeError, HubUnreachableError, UnsafePathError

MOST_FILES = 20_000
MOST_NAMED = 10
_SIZE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18})")


@dataclass(frozen=True)
class RemoteFile:
    """One file, and what its content must be."""

    path: str
    size: int
    """Bytes."""
    sha256: str = ""
    """Of the content, in hex; large files have it."""
    git_sha1: str = ""
    """Of the git object, in hex; small files have it alone."""


@dataclass(frozen=True)
class Repository:
    """A listing at one commit."""

    address: HubAddress
    """As it was asked for."""
    commit: str
    """What the revision stands for now; the same commit has the same content for ever."""
    licence: str
    """As the hub names it, such as "apache-2.0"; empty when it names none."""
    files: tuple[RemoteFile, ...]
    revision: str = ""
    """What its files are asked for by, where that is not the commit."""

    def file(self, path: str) -> RemoteFile | None:
        """The file of a path."""
        return next((each for each in self.files if each.path == path), None)


@dataclass(frozen=True)
class RemoteContent:
    """A file's bytes on their way."""

    offset: int
    """Where they begin; 0 where the server does not know ranges."""
    size: int | None
    """Of the whole file, where the server says so."""
    chunks: Iterator[bytes]


def content_of(
    status: int, headers: Mapping[str, str], chunks: Iterator[bytes], file: RemoteFile
) -> RemoteContent:
    """The body of a successful answer to a request that may have named a range.

    Args:
        headers: By names in lower case, or whatever their case.
        chunks: As they came, not decompressed.

    Raises:
        FalseSizeError: It is compressed.
        HubUnreachableError: It is a part that does not say which.
    """
    if headers.get("content-encoding", "identity") != "identity":
        raise FalseSizeError(f"{file.path} comes compressed, which was not asked for")
    offset, size = 0, None
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = _SIZE.fullmatch(headers.get("content-range", ""))
        if found is None or found[1] is None:
            raise HubUnreachableError(f"{file.path}: a part came without its place. Repeat it")
        offset, size = int(found[1]), int(found[2])
    elif (length := headers.get("content-length", "")).isdecimal():
        size = int(length)
    return RemoteContent(offset, size, chunks)


class Hub(Protocol):
    """A hub. Calls block on the network; each names what went wrong by an error of `errors`."""

    def look_up(self, address: HubAddress) -> Repository:
        """The repository at the address's revision.

        Raises:
            GatedRepositoryError, MissingRepositoryError, MissingRevisionError, TokenRefusedError,
            RateLimitedError, HubUnreachableError, HubOfflineError: As they say.
            UnsafePathError: A path in it leaves its folder.
        """
        ...

    def read(
        self, repository: Repository, file: RemoteFile, offset: int
    ) -> AbstractContextManager[RemoteContent]:
        """The bytes of a file from an offset on.

        Raises:
            As `look_up`; HubUnreachableError also while chunks are read.
            FalseSizeError: The file ends before the offset.
        """
        ...

    def push(self, folder: Path, address: HubAddress, message: str) -> str:
        """Upload a folder as one commit, to a repository that is made private where there is none.

        Returns:
            The commit.

        Raises:
            As `look_up`; HubNotSupportedError where the hub cannot.
        """
        ...


def check_paths(files: Sequence[RemoteFile]) -> None:
    """Refuse a listing that could write outside of its folder, or not at all.

    Raises:
        UnsafePathError: All such paths are listed, ten of them by name.
    """
    problems = [f"{each.path[:200]!r} {why}" for each in files if (why := path_problem(each.path))]
    paths = [each.path for each in files]
    whole = set(paths)
    if len(whole) != len(paths):
        problems.append("a path is listed twice")
    problems += [
        f"{path[:200]!r} is a file and a folder"
        for path in {above for each in whole for above in _folders(each)} & whole
    ]
    if len(files) > MOST_FILES:
        problems.append(f"there are more than {MOST_FILES:,} files")
    if problems:
        more = len(problems) - MOST_NAMED
        rest = [f"{more} more paths are unsafe"] if more > 0 else []
        raise UnsafePathError([*problems[:MOST_NAMED], *rest])


def _folders(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
