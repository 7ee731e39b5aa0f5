"""The artifact store: content-addressed, immutable, verified whenever it is read.

    blobs/sha256/<2 hex>/<hex>   file contents, put if absent
    manifests/<hex>.json         canonical JSON; its hash is the artifact's digest; written last
    materialised/<hex>/          a local read-only folder of an artifact, <hex>.ok beside it
    staging/                     work in progress; swept after a day

Methods block on the disk and are thread-safe: call them through `asyncio.to_thread`.
"""

import fcntl
import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from service_kit.errors import InvalidInputError, NotFoundError

from registry.digests import hex_of
from registry.durable import make_folder, publish, sync_folder, write_durably
from registry.errors import CommitAbandonedError, CorruptArtifactError, disk_full_on
from registry.folder_scan import open_inside, scan_folder
from registry.manifest import FileEntry, Manifest, decode_manifest, encode_manifest
from registry.materialised import MaterialisedFolder
from registry.unsafe_content import unsafe_reason

_CHUNK_BYTES = 1 << 20
_STALE_SECONDS = 24 * 3600


class ArtifactStore(Protocol):
    """What the services need of a store; `FolderStore` is the one for a single machine."""

    def commit(
        self,
        folder: Path,
        *,
        kind: str,
        form: str,
        made_from: Mapping[str, str] = {},
        attributes: Mapping[str, Any] = {},
    ) -> Manifest:
        """Store every regular file of `folder`; durable and visible as a whole on return.

        Raises:
            InvalidInputError: A link, a device or an unsafe file is in it; all are listed.
            DiskFullError: There is no space for it.
        """
        ...

    def manifest(self, digest: str) -> Manifest:
        """The manifest of an artifact.

        Raises:
            NotFoundError: No such artifact.
            CorruptArtifactError: The manifest's bytes are not what its name says.
        """
        ...

    def materialise(self, digest: str) -> Path:
        """A local folder with the artifact's files: read-only, shared, not to be changed.

        Raises:
            NotFoundError: No such artifact.
            CorruptArtifactError: A byte of it changed since the commit.
            DiskFullError: There is no space for the folder.
        """
        ...

    def verify(self, digest: str) -> Manifest:
        """Read every byte of an artifact against its manifest; raises like `materialise`."""
        ...


class FolderStore(ArtifactStore):
    """An artifact store in a folder of one filesystem, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._blobs = self._root / "blobs" / "sha256"
        self._manifests = self._root / "manifests"
        self._staging = self._root / "staging"
        self._materialised = self._root / "materialised"
        self._abandoned = threading.Event()
        for folder in (self._blobs, self._manifests, self._staging, self._materialised):
            make_folder(folder)

    def abandon(self) -> None:
        """Make commits in hand, in whatever thread, end soon: the process is about to."""
        self._abandoned.set()

    def commit(
        self,
        folder: Path,
        *,
        kind: str,
        form: str,
        made_from: Mapping[str, str] = {},
        attributes: Mapping[str, Any] = {},
    ) -> Manifest:
        self._sweep_staging()
        scan = scan_folder(folder)
        problems = list(scan.problems)
        for path in scan.paths:
            with open_inside(folder, path) as content:
                reason = unsafe_reason(path, content, kind=kind)
            if reason:
                problems.append(f"{path} {reason}")
        if problems:
            raise InvalidInputError(problems)
        # Checks the words before a gigabyte is copied; the digests are not known yet.
        encode_manifest(
            kind=kind,
            form=form,
            files=tuple(FileEntry(path, 0, "0" * 64) for path in scan.paths),
            made_from=made_from,
            attributes=attributes,
        )
        with disk_full_on(self._root):
            files = tuple(self._put_blob(folder, path, kind) for path in scan.paths)
            manifest, encoded = encode_manifest(
                kind=kind, form=form, files=files, made_from=made_from, attributes=attributes
            )
            final = self._manifests / f"{hex_of(manifest.digest)}.json"
            write_durably(self._staging / f"manifest-{uuid.uuid4().hex}", final, encoded)
        return manifest

    def manifest(self, digest: str) -> Manifest:
        path = self._manifests / f"{hex_of(digest)}.json"
        try:
            encoded = path.read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"no artifact {digest}") from None
        actual = "sha256:" + hashlib.sha256(encoded).hexdigest()
        if actual != digest:
            raise CorruptArtifactError(self._name(path), f"its content hashes to {actual}")
        try:
            return decode_manifest(encoded)
        except InvalidInputError as error:
            raise CorruptArtifactError(self._name(path), error.message) from error

    def materialise(self, digest: str) -> Path:
        manifest = self.manifest(digest)
        hex_digest = hex_of(digest)
        made = MaterialisedFolder(self._materialised / hex_digest, manifest)
        if made.is_whole():
            return made.folder
        with disk_full_on(self._root), self._locked(hex_digest):
            if made.is_whole():  # another process made it while this one waited
                return made.folder
            building = self._staging / f"materialise-{uuid.uuid4().hex}"
            try:
                for entry in manifest.files:
                    self._check_blob(entry)
                    made.place(building, entry, self._blob(entry.sha256))
                made.publish(building, marker_staging=self._staging)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return made.folder

    def verify(self, digest: str) -> Manifest:
        manifest = self.manifest(digest)
        for entry in manifest.files:
            self._check_blob(entry)
        return manifest

    def _put_blob(self, folder: Path, path: str, kind: str) -> FileEntry:
        """Copy one file into the store; what is hashed and judged is the copy, not the original."""
        staged = self._staging / f"blob-{uuid.uuid4().hex}"
        try:
            with open_inside(folder, path) as source, staged.open("x+b") as copy:
                hasher = hashlib.sha256()
                while chunk := source.read(_CHUNK_BYTES):
                    if self._abandoned.is_set():
                        raise CommitAbandonedError("stopped before everything was stored")
                    hasher.update(chunk)
                    copy.write(chunk)
                copy.flush()
                size = copy.tell()
                copy.seek(0)
                reason = unsafe_reason(path, copy, kind=kind)
                if reason:  # it was changed after the first look
                    raise InvalidInputError(f"{path} {reason}")
                os.fchmod(copy.fileno(), 0o444)
                os.fsync(copy.fileno())
            entry = FileEntry(path=path, size=size, sha256=hasher.hexdigest())
            if not self._has_blob(entry):
                blob = self._blob(entry.sha256)
                make_folder(blob.parent)
                publish(staged, blob)
            return entry
        finally:
            staged.unlink(missing_ok=True)

    def _has_blob(self, entry: FileEntry) -> bool:
        try:
            self._check_blob(entry)
        except CorruptArtifactError:
            return False  # absent or damaged: the right bytes are at hand and take its place
        # It may be another process's, renamed but not yet durable.
        sync_folder(self._blob(entry.sha256).parent)
        return True

    def _check_blob(self, entry: FileEntry) -> None:
        blob = self._blob(entry.sha256)
        try:
            with blob.open("rb") as content:
                size = os.fstat(content.fileno()).st_size
                if size != entry.size:
                    detail = f"{size} bytes instead of {entry.size}, for {entry.path}"
                    raise CorruptArtifactError(self._name(blob), detail)
                if hashlib.file_digest(content, "sha256").hexdigest() != entry.sha256:
                    detail = f"its content is not what was committed as {entry.path}"
                    raise CorruptArtifactError(self._name(blob), detail)
        except FileNotFoundError:
            detail = f"it is missing, for {entry.path}"
            raise CorruptArtifactError(self._name(blob), detail) from None

    def _blob(self, hex_digest: str) -> Path:
        return self._blobs / hex_digest[:2] / hex_digest

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    @contextmanager
    def _locked(self, hex_digest: str) -> Iterator[None]:
        """One maker of a materialised folder at a time; the kernel frees the lock of the dead."""
        descriptor = os.open(self._materialised / f"{hex_digest}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _sweep_staging(self) -> None:
        """Remove what killed processes left behind."""
        oldest = time.time() - _STALE_SECONDS
        for left in self._staging.iterdir():
            try:
                if left.lstat().st_mtime > oldest:
                    continue
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()
            except FileNotFoundError:
                continue  # another process swept it first
