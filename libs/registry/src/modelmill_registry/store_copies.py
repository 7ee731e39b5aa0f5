"""Copies of a folder store's artifacts: held by hard links meanwhile, verified as they are written.

A copy is a `BlobFolder` with contents and manifests alike under their SHA-256, for a manifest's
digest is the hash of its bytes. Which artifacts there are says whoever has copied them.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelmill_registry.blobs import (
    CHUNK_BYTES,
    BlobFolder,
    OnBytes,
    make_folder,
    make_read_only,
    write_durably,
)
from modelmill_registry.errors import CorruptArtifactError, disk_full_on
from modelmill_registry.manifest import FileEntry, Manifest, blob_name, hex_of, manifest_name
from modelmill_registry.verifying_store import decoded, part_name

MANIFEST_BYTES = 64 << 20
"""More than any manifest has."""


@dataclass(frozen=True, order=True)
class Placed:
    """An artifact, and where in its store it is."""

    part: str
    """Name of the part, "job/fence"; empty for the store itself."""
    digest: str


def content_of(placed: Placed, size: int) -> FileEntry:
    """An artifact's manifest as a content."""
    return FileEntry(f"manifest {placed.digest}", size, hex_of(placed.digest))


class PinnedStore:
    """Whatever a folder store holds, as hard links, so that nothing goes before it is copied.

    Args:
        folder: Where the links are, on the store's filesystem.
        has: Whether a content is in the copy already; it is not pinned then.
    """

    def __init__(self, root: Path, folder: Path, has: Callable[[FileEntry], bool]) -> None:
        self._root = root
        self._folder = folder
        self._has = has
        self.artifacts: dict[Placed, int] = {}
        """Each with the size of its manifest."""
        self.contents: dict[str, FileEntry] = {}
        """Those to copy, manifests as well, by SHA-256."""
        self.total_bytes = 0
        """Of all contents and manifests, each counted once."""
        self._known: set[str] = set()

    def pin(self) -> None:
        """Hold what is there now beside what was held before; what is deleted meanwhile is not.

        Raises:
            CorruptArtifactError: A manifest is not what its name says, or lacks a content.
        """
        for part, store in self._stores():
            for path in sorted((store / "manifests").glob("*.json")):
                placed = Placed(part, f"sha256:{path.stem}")
                if placed not in self.artifacts:
                    self._pin_one(placed, store)

    def path(self, entry: FileEntry) -> Path:
        """Where a content that is to be copied can be read."""
        return self._folder / blob_name(entry.sha256)

    def _stores(self) -> Iterator[tuple[str, Path]]:
        yield "", self._root
        for path in sorted((self._root / "parts").glob("*/*")):
            yield f"{path.parent.name}/{path.name}", path

    def _pin_one(self, placed: Placed, store: Path) -> None:
        file = store / manifest_name(placed.digest)
        try:
            encoded = file.read_bytes()
            manifest = decoded(placed.digest, encoded)
            for entry in manifest.files:
                self._pin_content(entry, store / blob_name(entry.sha256))
            self._pin_content(content_of(placed, len(encoded)), file)
        except FileNotFoundError as error:
            if file.exists():
                raise CorruptArtifactError(str(file), f"{error.filename} is missing") from error
            return  # deleted since it was listed
        self.artifacts[placed] = len(encoded)

    def _pin_content(self, entry: FileEntry, file: Path) -> None:
        if entry.sha256 in self._known:
            return
        if not self._has(entry):
            link = self.path(entry)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, link)
            self.contents[entry.sha256] = entry
        self._known.add(entry.sha256)
        self.total_bytes += entry.size


@contextmanager
def pinned_store(root: Path, has: Callable[[FileEntry], bool]) -> Iterator[PinnedStore]:
    """A pin that is let go at the end of the block; after a kill the store sweeps it in a day."""
    folder = root / "staging" / f"pinned-{uuid.uuid4().hex}"
    try:
        yield PinnedStore(root, folder, has)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_content(
    source: Path, entry: FileEntry, target: BlobFolder, staging: Path, on_bytes: OnBytes
) -> None:
    """Copy a content durably, unless its bytes are not what its name says.

    Raises:
        CorruptArtifactError: They are not; nothing is kept.
        DiskFullError: There is no space for it.
    """
    staged = staging / f"copy-{uuid.uuid4().hex}"
    hasher, size = hashlib.sha256(), 0
    try:
        with disk_full_on(staging), source.open("rb") as reading, staged.open("xb") as writing:
            while chunk := reading.read(CHUNK_BYTES):
                hasher.update(chunk)
                size += len(chunk)
                writing.write(chunk)
                on_bytes(len(chunk))
            if size != entry.size or hasher.hexdigest() != entry.sha256:
                detail = f"its content is not what was committed as {entry.path}"
                raise CorruptArtifactError(blob_name(entry.sha256), detail)
            writing.flush()
            make_read_only(writing.fileno())
            os.fsync(writing.fileno())
        with disk_full_on(staging):
            target.put(entry, staged)
    finally:
        staged.unlink(missing_ok=True)


def copied_manifest(copy: BlobFolder, placed: Placed) -> tuple[Manifest, bytes]:
    """An artifact's manifest as it was copied, and its bytes.

    Raises:
        CorruptArtifactError: It is missing, or not what its name says.
    """
    name = hex_of(placed.digest)
    try:
        with copy.path(name).open("rb") as reading:
            encoded = reading.read(MANIFEST_BYTES)
    except FileNotFoundError:
        raise CorruptArtifactError(
            blob_name(name), f"manifest {placed.digest} is missing"
        ) from None
    return decoded(placed.digest, encoded), encoded


def put_back(copy: BlobFolder, artifacts: Iterable[Placed], root: Path, on_bytes: OnBytes) -> None:
    """Write copied artifacts into a store that has none of them, each manifest after its contents.

    Raises:
        CorruptArtifactError: A content is missing from the copy, or changed.
        DiskFullError: There is no space for it.
    """
    staging = root / "staging"
    make_folder(staging)
    for placed in sorted(artifacts):
        store = root / part_name(placed.part) if placed.part else root
        manifest, encoded = copied_manifest(copy, placed)
        blobs = BlobFolder(store)
        for entry in manifest.files:
            if not blobs.path(entry.sha256).exists():
                copy_content(copy.path(entry.sha256), entry, blobs, staging, on_bytes)
        make_folder(store / "manifests")
        final = store / manifest_name(placed.digest)
        with disk_full_on(root):
            write_durably(staging / f"manifest-{uuid.uuid4().hex}", final, encoded)
        on_bytes(len(encoded))
