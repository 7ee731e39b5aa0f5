"""The artifact store in a bucket of an S3-compatible server, shared by any number of machines.

    <prefix>/blobs/sha256/<2 hex>/<hex>   file contents, put if absent
    <prefix>/manifests/<hex>.json         written last: an artifact is visible as a whole or not
    <prefix>/parts/<name>/                stores of their own, that share no contents

Names, manifests and digests are those of a `FolderStore`: a bucket can be copied into a folder.
Local folders come from a `LocalCache`.
"""

import base64
import hashlib
import math
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from modelmill_service_kit.errors import UnavailableError

from modelmill_registry.artifact_store import SWEEP_SECONDS, SweepReport
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.local_cache import LocalCache
from modelmill_registry.manifest import FileEntry, Manifest, blob_name, is_digest, manifest_name
from modelmill_registry.s3_bucket import Bucket, StoredObject, sha256_of_parts
from modelmill_registry.staging import StagedFile
from modelmill_registry.verifying_store import StoredBlob, VerifyingStore, decoded, part_name

_YOUNG_SECONDS = 3600.0
"""A content older than this is made young when a commit needs it, so that no sweep takes it."""
_ATTEMPTS = 3


class S3Store(VerifyingStore):
    """Artifacts in `bucket`, with local copies in `cache`."""

    def __init__(
        self,
        bucket: Bucket,
        cache: LocalCache,
        *,
        now: Callable[[], float] = time.time,
        private: bool = False,
    ) -> None:
        super().__init__(cache.staging, now, private=private)
        self._bucket = bucket
        self._cache = cache

    def materialise(self, digest: str) -> Path:
        return self._cache.folder(self._cached_manifest(digest), self._download)

    def sweep(self, older_than_seconds: float = SWEEP_SECONDS) -> SweepReport:
        contents = super().sweep(older_than_seconds)
        oldest = self._now() - older_than_seconds
        uploads = self._bucket.abort_uploads("blobs/sha256/", begun_before=oldest)
        return SweepReport(contents.blobs, contents.bytes, uploads)

    def part(self, name: str) -> "S3Store":
        bucket = self._bucket.below(part_name(name))
        return S3Store(bucket, self._cache, now=self._now, private=True)

    def parts(self, name: str) -> list[str]:
        under = f"{part_name(name)}/"
        found = (each.name.removeprefix(under) for each in self._bucket.list(under))
        return sorted({name.partition("/")[0] for name in found})

    def remove_parts(self, name: str) -> None:
        under = f"{part_name(name)}/"
        for found in list(self._bucket.list(under)):
            self._bucket.delete(found.name)
        self._bucket.abort_uploads(under, begun_before=math.inf)

    def _cached_manifest(self, digest: str) -> Manifest:
        cached = self._cache.manifest(digest)
        if cached is not None:
            with suppress(CorruptArtifactError):
                return decoded(digest, cached)
        encoded = self._kept_manifest(digest)
        manifest = decoded(digest, encoded)
        self._cache.keep_manifest(digest, encoded)
        return manifest

    def _put_blob(self, staged: StagedFile) -> None:
        name, written = blob_name(staged.entry.sha256), False
        for _ in range(_ATTEMPTS):
            found = self._bucket.head(name)
            right = found is not None and self._is_right(found, staged)
            if found and right and (written or self._is_young(found)):
                return
            touched = right and self._bucket.touch(name, staged.entry.size)
            written = touched or self._send(name, staged, replace=found is not None)
        raise UnavailableError(f"the server does not keep {name} as it was sent. See its log")

    def _send(self, name: str, staged: StagedFile, *, replace: bool) -> bool:
        sha256, go_on = staged.entry.sha256, self._staging.go_on
        return self._bucket.put_file(name, staged.path, sha256, go_on, replace=replace)

    def _is_young(self, found: StoredObject) -> bool:
        return found.changed_at > self._now() - _YOUNG_SECONDS

    def _is_right(self, found: StoredObject, staged: StagedFile) -> bool:
        """Whether the server has the content: by its own hash, or by reading, if it has none."""
        if found.size != staged.entry.size:
            return False
        if found.sha256:
            whole = base64.b64encode(bytes.fromhex(staged.entry.sha256)).decode()
            if found.sha256 == whole or found.sha256 == sha256_of_parts(staged.path):
                return True
        try:
            self._check_blob(staged.entry)
        except CorruptArtifactError:
            return False
        return True

    def _check_blob(self, entry: FileEntry) -> None:
        for _ in self._verified_chunks(entry):
            pass

    def _blob(self, entry: FileEntry) -> bytes:
        return b"".join(self._verified_chunks(entry))

    def _download(self, entry: FileEntry, target: BinaryIO) -> None:
        for chunk in self._verified_chunks(entry):
            target.write(chunk)

    def _verified_chunks(self, entry: FileEntry) -> Iterator[bytes]:
        """A content as it arrives; CorruptArtifactError at its end when it is not the right one."""
        name = blob_name(entry.sha256)
        chunks = self._bucket.chunks(name)
        if chunks is None:
            raise CorruptArtifactError(name, f"it is missing, for {entry.path}")
        hasher, size = hashlib.sha256(), 0
        for chunk in chunks:
            hasher.update(chunk)
            size += len(chunk)
            yield chunk
        if size != entry.size:
            detail = f"{size} bytes instead of {entry.size}, for {entry.path}"
            raise CorruptArtifactError(name, detail)
        if hasher.hexdigest() != entry.sha256:
            detail = f"its content is not what was committed as {entry.path}"
            raise CorruptArtifactError(name, detail)

    def _put_manifest(self, digest: str, encoded: bytes) -> None:
        name = manifest_name(digest)
        if self._bucket.put(name, encoded, replace=False):
            return
        if self._read_manifest(digest) != encoded:  # damaged
            self._bucket.put(name, encoded, replace=True)

    def _read_manifest(self, digest: str) -> bytes | None:
        chunks = self._bucket.chunks(manifest_name(digest))
        return None if chunks is None else b"".join(chunks)

    def _digests(self) -> Iterator[str]:
        for found in self._bucket.list("manifests/"):
            digest = f"sha256:{found.name.removeprefix('manifests/').removesuffix('.json')}"
            if is_digest(digest):
                yield digest

    def _blobs_kept(self) -> Iterator[StoredBlob]:
        for found in self._bucket.list("blobs/sha256/"):
            sha256 = found.name.rpartition("/")[2]
            if is_digest(f"sha256:{sha256}"):
                yield StoredBlob(sha256, found.size, found.changed_at)

    def _drop_blob(self, sha256: str, untouched_since: float) -> bool:
        found = self._bucket.head(blob_name(sha256))
        if found is None or found.changed_at >= untouched_since:
            return False
        self._bucket.delete(blob_name(sha256))
        return True

    def _drop_manifest(self, digest: str) -> None:
        self._bucket.delete(manifest_name(digest))

    def _drop_folders(self, kept: Collection[str]) -> None:
        """Copies are in the cache, which is bounded."""
