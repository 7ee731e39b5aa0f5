"""Local cache of a remote artifact store: bounded, shared by processes.

It lies as a `FolderStore` does. What was not asked for the longest goes first; never what somebody
asked for within the hour or holds by `in_use`: the cache is larger than its bound for that while.
"""

import fcntl
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_registry.blobs import BlobFolder, make_folder, make_read_only, write_durably
from modelmill_registry.errors import disk_full_on
from modelmill_registry.manifest import FileEntry, Manifest, decode_manifest, manifest_name
from modelmill_registry.materialised import MaterialisedFolders
from modelmill_registry.staging import Staging

log = logging.getLogger(__name__)

CACHE_BYTES = 64 << 30
_TAG = "CACHEDIR.TAG"
"""Says to backups, and to us, that all that is beside it can be had again."""
_TAG_CONTENT = b"Signature: 8a477f597d28d172789f06886806bc55\n"
KEPT_SECONDS = 3600.0
"""What was asked for within this time is not removed: its reader may not hold it yet."""

Download = Callable[[FileEntry, BinaryIO], None]
"""Writes a content, verified; CorruptArtifactError when the server has another one."""


class LocalCache:
    """One folder, shared by all processes of a machine.

    Args:
        root: On a disk of this machine.
        max_bytes: What it may hold.
        now: Unix time.

    Raises:
        PreconditionError: `root` is a `FolderStore`, of which nothing may be evicted.
    """

    def __init__(
        self, root: Path, max_bytes: int = CACHE_BYTES, *, now: Callable[[], float] = time.time
    ) -> None:
        self._root = root.absolute()
        _claim(self._root)
        self._max_bytes = max_bytes
        self._now = now
        self.staging = Staging(self._root / "staging")
        self._blobs = BlobFolder(self._root)
        self._folders = MaterialisedFolders(self._root / "materialised", self.staging)
        make_folder(self._root / "manifests")

    def manifest(self, digest: str) -> bytes | None:
        """A manifest's bytes as they were kept, not verified."""
        try:
            return (self._root / manifest_name(digest)).read_bytes()
        except FileNotFoundError:
            return None

    def keep_manifest(self, digest: str, encoded: bytes) -> None:
        """Keep a verified manifest, so that its folder can be had while the server is away."""
        with disk_full_on(self._root):
            write_durably(self.staging.new("manifest"), self._root / manifest_name(digest), encoded)

    def folder(self, manifest: Manifest, download: Download) -> Path:
        """The artifact as a local folder; only contents that are not here are downloaded.

        Raises:
            DiskFullError: There is no space for it.
        """
        whole = self._folders.whole(manifest)
        if whole:
            return whole
        self._make_room(manifest)
        return self._folders.make(manifest, lambda entry: self._fetched(entry, download))

    def _fetched(self, entry: FileEntry, download: Download) -> Path:
        if not self._blobs.has(entry):
            staged = self.staging.new("blob")
            try:
                with staged.open("xb") as stream:
                    download(entry, stream)
                    stream.flush()
                    make_read_only(stream.fileno())
                    os.fsync(stream.fileno())
                self._blobs.put(entry, staged)
            finally:
                staged.unlink(missing_ok=True)
        return self._blobs.path(entry.sha256)

    def _make_room(self, manifest: Manifest) -> None:
        """Remove what was not asked for the longest, until what is missing fits."""
        contents = {entry.sha256: entry.size for entry in manifest.files}
        with self._evicting():
            missing = sum(
                size for sha256, size in contents.items() if not self._blobs.path(sha256).exists()
            )
            bound = self._max_bytes - missing
            if self._used_bytes() <= bound:
                return
            oldest = self._now() - KEPT_SECONDS
            self._drop_loose_blobs(oldest)
            for folder in self._folders.oldest_first():
                if self._used_bytes() <= bound:
                    return
                if self._folders.remove(folder, unasked_since=oldest):
                    self._drop_contents(folder.name)
        if self._used_bytes() > bound:
            log.warning("the cache %s is over its bound: all of it is in use", self._root)

    def _drop_loose_blobs(self, untouched_since: float) -> None:
        """Remove contents that no folder shares."""
        for sha256, _ in list(self._blobs.all()):
            self._blobs.drop(sha256, untouched_since=untouched_since, only_unlinked=True)

    def _drop_contents(self, hex_digest: str) -> None:
        """Remove what a removed folder alone had; young or not, it is as old as the folder was."""
        encoded = self.manifest(f"sha256:{hex_digest}")
        with suppress(InvalidInputError):  # damaged: they go when they have been loose for long
            for entry in decode_manifest(encoded or b"").files:
                self._blobs.drop(entry.sha256, untouched_since=math.inf, only_unlinked=True)

    def _used_bytes(self) -> int:
        """Bytes of files, each counted once however many names it has."""
        sizes: dict[int, int] = {}
        for part in ("blobs", "materialised"):
            for folder, _, names in os.walk(self._root / part):
                for name in names:
                    try:
                        status = os.lstat(os.path.join(folder, name))
                    except FileNotFoundError:
                        continue  # another process removed it
                    if S_ISREG(status.st_mode):
                        sizes[status.st_ino] = status.st_size
        return sum(sizes.values())

    @contextmanager
    def _evicting(self) -> Iterator[None]:
        """One process makes room at a time."""
        descriptor = os.open(self._root / "eviction.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _claim(root: Path) -> None:
    """Mark `root` as a cache, before anything is in it."""
    if (root / "blobs").exists() and not (root / _TAG).exists():
        raise PreconditionError(f"{root} is an artifact store; a cache needs a folder of its own")
    make_folder(root)
    (root / _TAG).write_bytes(_TAG_CONTENT)
