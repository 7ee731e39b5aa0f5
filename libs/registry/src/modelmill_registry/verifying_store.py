"""Base of artifact stores: checks, staging, hashing, verification, sweep.

A form keeps and gives bytes; that they are the right ones is seen to here.
"""

import hashlib
import math
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError

from modelmill_registry.artifact_store import REPEATING, SWEEP_SECONDS, PrivateStore, SweepReport
from modelmill_registry.errors import CorruptArtifactError, disk_full_on
from modelmill_registry.manifest import (
    FileEntry,
    Manifest,
    decode_manifest,
    encode_manifest,
    manifest_name,
)
from modelmill_registry.staging import StagedFile, Staging, open_inside, scan_folder
from modelmill_registry.unsafe_content import unsafe_reason

_PART_NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)?")


@dataclass(frozen=True)
class StoredBlob:
    """A content as a sweep sees it."""

    sha256: str
    size: int
    touched_at: float
    """Unix time at which it was put, or found by a commit that needs it."""


class VerifyingStore(PrivateStore):
    """What of a store does not depend on where its bytes are.

    Args:
        staging: Where copies are made.
        now: Unix time.
        private: Whether it is a part, of one writer, in which artifacts may be deleted.
    """

    def __init__(
        self, staging: Staging, now: Callable[[], float] = time.time, *, private: bool = False
    ) -> None:
        self._staging = staging
        self._now = now
        self._private = private

    def abandon(self) -> None:
        self._staging.abandon()

    def commit(
        self,
        folder: Path,
        *,
        kind: str,
        form: str,
        made_from: Mapping[str, str] = {},
        attributes: Mapping[str, Any] = {},
    ) -> Manifest:
        self._staging.sweep()
        paths = _safe_paths(folder, kind)
        # Checks the words before a gigabyte is copied; the digests are not known yet.
        encode_manifest(
            kind=kind,
            form=form,
            files=tuple(FileEntry(path, 0, "0" * 64) for path in paths),
            made_from=made_from,
            attributes=attributes,
        )
        with disk_full_on(self._staging.folder.parent), self._committing():
            files = tuple(self._keep(folder, path, kind) for path in paths)
            manifest, encoded = encode_manifest(
                kind=kind, form=form, files=files, made_from=made_from, attributes=attributes
            )
            self._put_manifest(manifest.digest, encoded)
        return manifest

    def manifest(self, digest: str) -> Manifest:
        return decoded(digest, self._kept_manifest(digest))

    def content(self, digest: str, path: str) -> bytes:
        found = [entry for entry in self.manifest(digest).files if entry.path == path]
        if not found:
            raise NotFoundError(f"artifact {digest} has no file {path!r}")
        return self._blob(found[0])

    def verify(self, digest: str) -> Manifest:
        manifest = self.manifest(digest)
        for entry in manifest.files:
            self._check_blob(entry)
        return manifest

    def sweep(self, older_than_seconds: float = SWEEP_SECONDS) -> SweepReport:
        oldest = self._now() - older_than_seconds
        # Contents first, manifests after: one that is written in between counts.
        old = [blob for blob in self._blobs_kept() if blob.touched_at < oldest]
        named = self._named() if old else set()
        sizes = [
            blob.size
            for blob in old
            if blob.sha256 not in named and self._drop_blob(blob.sha256, oldest)
        ]
        return SweepReport(len(sizes), sum(sizes))

    def present(self, digests: Collection[str]) -> set[str]:
        return {digest for digest in digests if self._read_manifest(digest) is not None}

    def repeating(self, digests: Collection[str]) -> set[str]:
        wanted = frozenset(digests)
        return {
            manifest.digest
            for manifest in self._manifests()
            if manifest.kind in REPEATING and not wanted.isdisjoint(manifest.made_from.values())
        }

    def erase(self, digests: Collection[str]) -> None:
        with self._erasing():
            going = self.present(digests)
            kept = set(self._digests()) - going
            self._drop_folders(kept)
            # Contents first: a manifest is what tells a second call of them.
            named = {entry.sha256 for digest in kept for entry in self._files_of(digest)}
            for digest in going:
                for entry in self._files_of(digest):
                    if entry.sha256 not in named:
                        self._drop_blob(entry.sha256, math.inf)
            for digest in going:
                self._drop_manifest(digest)

    def keep_only(self, digests: Collection[str]) -> None:
        if not self._private:
            raise PreconditionError("artifacts are deleted in a private part of a store alone")
        # Manifests first: one without its contents would be a corrupt artifact, not an absent one.
        for digest in set(self._digests()) - set(digests):
            self._drop_manifest(digest)
        self._drop_folders(digests)
        self.sweep(older_than_seconds=-math.inf)

    def _manifests(self) -> Iterator[Manifest]:
        """All, but for those that somebody else erases meanwhile."""
        for digest in self._digests():
            with suppress(NotFoundError):
                yield self.manifest(digest)

    def _files_of(self, digest: str) -> Sequence[FileEntry]:
        """None of an artifact that somebody else has erased meanwhile."""
        try:
            return self.manifest(digest).files
        except NotFoundError:
            return ()

    def _committing(self) -> AbstractContextManager[None]:
        """Within the block, which ends with the manifest, nothing is erased."""
        return nullcontext()

    def _erasing(self) -> AbstractContextManager[None]:
        """Within the block nobody commits."""
        return nullcontext()

    def _kept_manifest(self, digest: str) -> bytes:
        encoded = self._read_manifest(digest)
        if encoded is None:
            raise NotFoundError(f"no artifact {digest}")
        return encoded

    def _named(self) -> set[str]:
        return {entry.sha256 for digest in self._digests() for entry in self.manifest(digest).files}

    def _keep(self, folder: Path, path: str, kind: str) -> FileEntry:
        with self._staging.copy_of(folder, path, kind=kind) as staged:
            self._put_blob(staged)
            return staged.entry

    @abstractmethod
    def _put_blob(self, staged: StagedFile) -> None:
        """Keep the content, unless it is there whole; from now on it is young to a sweep."""

    @abstractmethod
    def _check_blob(self, entry: FileEntry) -> object:
        """Read all of a content. CorruptArtifactError when it is not whole."""

    @abstractmethod
    def _blob(self, entry: FileEntry) -> bytes:
        """All of a content. CorruptArtifactError when it is not whole."""

    @abstractmethod
    def _put_manifest(self, digest: str, encoded: bytes) -> None:
        """Make the artifact visible: all of its contents are kept."""

    @abstractmethod
    def _read_manifest(self, digest: str) -> bytes | None:
        """What is kept under the digest."""

    @abstractmethod
    def _digests(self) -> Iterator[str]:
        """Of each manifest."""

    @abstractmethod
    def _blobs_kept(self) -> Iterator[StoredBlob]:
        """Each content."""

    @abstractmethod
    def _drop_blob(self, sha256: str, untouched_since: float) -> bool:
        """Look once more, and delete a content that nobody has touched since."""

    @abstractmethod
    def _drop_manifest(self, digest: str) -> None:
        """Make the artifact invisible, durably; it may be so already."""

    @abstractmethod
    def _drop_folders(self, kept: Collection[str]) -> None:
        """Remove local folders, but of artifacts that are kept, where nobody else does."""


def part_name(name: str) -> str:
    """Where the part lies below the root of any store.

    Raises:
        InvalidInputError: It is no name of a part.
    """
    if not _PART_NAME.fullmatch(name):
        raise InvalidInputError(f"{name[:80]!r} is no name of a part")
    return f"parts/{name}"


def decoded(digest: str, encoded: bytes) -> Manifest:
    """The manifest that is kept as `encoded` under `digest`.

    Raises:
        CorruptArtifactError: Its bytes are not what its name says.
    """
    actual = "sha256:" + hashlib.sha256(encoded).hexdigest()
    if actual != digest:
        raise CorruptArtifactError(manifest_name(digest), f"its content hashes to {actual}")
    try:
        return decode_manifest(encoded)
    except InvalidInputError as error:
        raise CorruptArtifactError(manifest_name(digest), error.message) from error


def _safe_paths(folder: Path, kind: str) -> tuple[str, ...]:
    """The files of `folder`. InvalidInputError lists all that may not enter a store."""
    scan = scan_folder(folder)
    problems = list(scan.problems)
    for path in scan.paths:
        with open_inside(folder, path) as content:
            reason = unsafe_reason(path, content, kind=kind)
        if reason:
            problems.append(f"{path} {reason}")
    if problems:
        raise InvalidInputError(problems)
    return scan.paths
