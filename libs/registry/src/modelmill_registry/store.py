"""The artifact store in a folder: content-addressed, immutable, verified whenever it is read.

blobs/sha256/<2 hex>/<hex>   file contents, put if absent
manifests/<hex>.json         canonical JSON; its hash is the artifact's digest; written last
materialised/<hex>/          a local read-only folder of an artifact, <hex>.ok beside it
parts/<name>/                stores of their own, that share no contents
staging/                     work in progress; swept after a day
"""

import fcntl
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.settings import ServiceSettings, local_path

from modelmill_registry.artifact_store import ArtifactStore, SweepReport
from modelmill_registry.blobs import BlobFolder, make_folder, sync_folder, touched_at, write_durably
from modelmill_registry.local_cache import CACHE_BYTES, LocalCache
from modelmill_registry.manifest import FileEntry, is_digest, manifest_name
from modelmill_registry.materialised import MaterialisedFolders, folder_locked
from modelmill_registry.staging import StagedFile, Staging
from modelmill_registry.verifying_store import StoredBlob, VerifyingStore, part_name

__all__ = ["ArtifactStore", "FolderStore", "SweepReport"]


class FolderStore(VerifyingStore):
    """An artifact store in a folder of one filesystem, shared by any number of processes."""

    def __init__(
        self,
        root: Path,
        *,
        now: Callable[[], float] = time.time,
        part_of: "FolderStore | None" = None,
    ) -> None:
        self._root = root.absolute()
        staging = part_of._staging if part_of else Staging(self._root / "staging")
        super().__init__(staging, now, private=part_of is not None)
        self._blobs = BlobFolder(self._root)
        self._folders = MaterialisedFolders(self._root / "materialised", self._staging)
        make_folder(self._root / "manifests")

    def materialise(self, digest: str) -> Path:
        manifest = self.manifest(digest)
        whole = self._folders.whole(manifest)
        return whole or self._folders.make(manifest, self._blobs.check)

    def part(self, name: str) -> "FolderStore":
        return FolderStore(self._root / part_name(name), now=self._now, part_of=self)

    def parts(self, name: str) -> list[str]:
        try:
            return sorted(found.name for found in (self._root / part_name(name)).iterdir())
        except FileNotFoundError:
            return []

    def remove_parts(self, name: str) -> None:
        shutil.rmtree(self._root / part_name(name), ignore_errors=True)

    def _committing(self) -> AbstractContextManager[None]:
        # Of commits together, of an erasure alone: a content that a commit has found stays.
        return folder_locked(self._root / "manifests", fcntl.LOCK_SH)

    def _erasing(self) -> AbstractContextManager[None]:
        return folder_locked(self._root / "manifests", fcntl.LOCK_EX)

    def _put_blob(self, staged: StagedFile) -> None:
        if not self._blobs.has(staged.entry):
            self._blobs.put(staged.entry, staged.path)

    def _check_blob(self, entry: FileEntry) -> Path:
        return self._blobs.check(entry)

    def _blob(self, entry: FileEntry) -> bytes:
        return self._blobs.check(entry).read_bytes()

    def _put_manifest(self, digest: str, encoded: bytes) -> None:
        write_durably(self._staging.new("manifest"), self._root / manifest_name(digest), encoded)

    def _read_manifest(self, digest: str) -> bytes | None:
        try:
            return (self._root / manifest_name(digest)).read_bytes()
        except FileNotFoundError:
            return None

    def _digests(self) -> Iterator[str]:
        digests = (f"sha256:{path.stem}" for path in (self._root / "manifests").glob("*.json"))
        return filter(is_digest, digests)

    def _blobs_kept(self) -> Iterator[StoredBlob]:
        for sha256, status in self._blobs.all():
            yield StoredBlob(sha256, status.st_size, touched_at(status))

    def _drop_blob(self, sha256: str, untouched_since: float) -> bool:
        return self._blobs.drop(sha256, untouched_since=untouched_since) is not None

    def _drop_manifest(self, digest: str) -> None:
        path = self._root / manifest_name(digest)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)

    def _drop_folders(self, kept: Collection[str]) -> None:
        for folder in self._folders.oldest_first():
            if f"sha256:{folder.name}" not in kept:
                self._folders.discard(folder)


def store_of(settings: ServiceSettings) -> ArtifactStore:
    """The store that a service is told to use; raises as `open_store` does."""
    return open_store(
        settings.artifact_root,
        settings.artifact_disk,
        cache_bytes=settings.artifact_cache_bytes,
    )


def open_store(location: str, cache: Path, *, cache_bytes: int = CACHE_BYTES) -> ArtifactStore:
    """The store at `location`; a server is not asked before it is needed.

    Args:
        location: A path or `file://` for a folder, `s3://bucket/prefix` for a bucket, whose server
            and credentials are in the `AWS_*` variables.
        cache: Folder on this machine for copies of what a server has; a folder needs none.
        cache_bytes: What the cache may hold.

    Raises:
        InvalidInputError: It is neither.
    """
    folder = local_path(location)
    if folder is not None:
        return FolderStore(folder)
    parts = urlsplit(location)
    if parts.scheme != "s3" or not parts.netloc:
        raise InvalidInputError(
            "an artifact root is a folder, file:///folder or s3://bucket/prefix"
        )
    # Takes long to load, and most machines have a folder.
    from modelmill_registry.s3_bucket import Bucket
    from modelmill_registry.s3_store import S3Store

    return S3Store(Bucket(parts.netloc, parts.path), LocalCache(cache, cache_bytes))
