"""Durable writes, and a folder of contents under their SHA-256.

A power cut leaves a write whole or absent: temporary name, fsync, replace, fsync the folder.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_IMODE, S_ISREG

from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.manifest import FileEntry, blob_name, is_digest

CHUNK_BYTES = 1 << 20

OnBytes = Callable[[int], None]
"""Called with how many bytes more are read or written."""


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each of them durable in its own parent."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def write_durably(temporary: Path, final: Path, content: bytes) -> None:
    """Put `content` at `final` as a whole; both paths are on the same filesystem."""
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        publish(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)  # a full disk must not be made fuller


def publish(temporary: Path, final: Path) -> None:
    """Give an already synced file its final name, durably."""
    os.replace(temporary, final)
    sync_folder(final.parent)


WRITE_BITS = 0o222


def make_read_only(file: Path | int) -> None:
    """Take away the right to write to it, and nothing else; `file` may be a descriptor."""
    os.chmod(file, S_IMODE(os.stat(file).st_mode) & ~WRITE_BITS)


class BlobFolder:
    """`blobs/sha256/<2 hex>/<hex>` below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        make_folder(root / "blobs" / "sha256")

    def path(self, sha256: str) -> Path:
        """Where the content is, if it is."""
        return self._root / blob_name(sha256)

    def check(self, entry: FileEntry, on_bytes: OnBytes = lambda _count: None) -> Path:
        """The content's file, every byte of it read.

        Raises:
            CorruptArtifactError: It is missing, or not what its name says.
        """
        blob, name = self.path(entry.sha256), blob_name(entry.sha256)
        try:
            with blob.open("rb") as content:
                size = os.fstat(content.fileno()).st_size
                if size != entry.size:
                    detail = f"{size} bytes instead of {entry.size}, for {entry.path}"
                    raise CorruptArtifactError(name, detail)
                hasher = hashlib.sha256()
                while chunk := content.read(CHUNK_BYTES):
                    hasher.update(chunk)
                    on_bytes(len(chunk))
                if hasher.hexdigest() != entry.sha256:
                    detail = f"its content is not what was committed as {entry.path}"
                    raise CorruptArtifactError(name, detail)
        except FileNotFoundError:
            raise CorruptArtifactError(name, f"it is missing, for {entry.path}") from None
        return blob

    def has(self, entry: FileEntry) -> bool:
        """Whether the right bytes are there; from now on they are young, and durable."""
        blob = self.path(entry.sha256)
        try:
            # Its ctime is its age to a sweep; mtimes are what materialised folders are compared by.
            make_read_only(blob)
            self.check(entry)
        except (CorruptArtifactError, FileNotFoundError, PermissionError):
            return False  # the right bytes are at hand and take its place
        # It may be another process's, renamed but not yet durable.
        sync_folder(blob.parent)
        return True

    def put(self, entry: FileEntry, staged: Path) -> None:
        """Rename a synced file of the right content to its place."""
        blob = self.path(entry.sha256)
        make_folder(blob.parent)
        publish(staged, blob)

    def all(self) -> Iterator[tuple[str, os.stat_result]]:
        """SHA-256 and status of each content."""
        for blob in (self._root / "blobs" / "sha256").glob("*/*"):
            try:
                status = blob.lstat()
            except FileNotFoundError:
                continue  # swept by another process
            if S_ISREG(status.st_mode) and is_digest(f"sha256:{blob.name}"):
                yield blob.name, status

    def drop(
        self, sha256: str, *, untouched_since: float, only_unlinked: bool = False
    ) -> int | None:
        """Delete a content that nobody has touched since; its bytes, None when it stays.

        Args:
            only_unlinked: Leave a content that a materialised folder shares.
        """
        blob = self.path(sha256)
        try:
            status = blob.lstat()
            if touched_at(status) >= untouched_since or (only_unlinked and status.st_nlink > 1):
                return None
            blob.unlink()
        except FileNotFoundError:
            return None
        return status.st_size


def touched_at(status: os.stat_result) -> float:
    """When a content was last put or found by a commit, as Unix time."""
    return max(status.st_mtime, status.st_ctime)
