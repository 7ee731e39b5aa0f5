"""Errors of the registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmill_service_kit.errors import DiskFullError, PreconditionError


class CorruptArtifactError(PreconditionError):
    """Bytes at rest are not the bytes that were committed; they are never served.

    Committing the same content again repairs it. `path` is relative to the store's root.
    """

    reason = "CORRUPT_ARTIFACT"

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path} is corrupt: {detail}")
        self.path = path


class CommitAbandonedError(PreconditionError):
    """The process is about to end; nothing became visible."""

    reason = "COMMIT_ABANDONED"


@contextmanager
def disk_full_on(folder: Path) -> Iterator[None]:
    """Within the block, a write that finds no space is a DiskFullError."""
    try:
        yield
    except OSError as error:
        disk_full = DiskFullError.from_os_error(error, folder)
        if disk_full is None:
            raise
        raise disk_full from error
