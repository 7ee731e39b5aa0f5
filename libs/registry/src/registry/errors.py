"""What the registry refuses beyond the common errors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service_kit.errors import OverloadedError, PreconditionError

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, over quota, over the process's own limit: to a caller they are one thing."""
DISK_FULL_RETRY_SECONDS = 30.0


class CorruptArtifactError(PreconditionError):
    """Bytes at rest are not the bytes that were committed; they are never served.

    Committing the same content again repairs it. `path` is relative to the store's root.
    """

    reason = "CORRUPT_ARTIFACT"

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path} is corrupt: {detail}")
        self.path = path


class DiskFullError(OverloadedError):
    """There is no space left. Nothing became visible; the same call succeeds once there is."""

    reason = "DISK_FULL"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"disk full on {folder}; free space and repeat",
            retry_after_seconds=DISK_FULL_RETRY_SECONDS,
        )


class CommitAbandonedError(PreconditionError):
    """The process is about to end; nothing became visible."""

    reason = "COMMIT_ABANDONED"


@contextmanager
def disk_full_on(folder: Path) -> Iterator[None]:
    """Within the block, a write that finds no space is a DiskFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFullError(folder) from error
        raise
