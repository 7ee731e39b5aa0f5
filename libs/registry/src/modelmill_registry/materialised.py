"""Materialised artifacts: a local folder of links to blobs, and a marker of its verification.

The marker lies beside the folder, so that the folder holds the artifact's files and nothing else.
It records size and modification time of each file: a folder that is looked at again is compared by
those, and made again from verified blobs when anything differs. Bits that rot on the disk without a
write are found by `ArtifactStore.verify`, not here.
"""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from modelmill_registry.blobs import make_folder, sync_folder, write_durably
from modelmill_registry.errors import disk_full_on
from modelmill_registry.manifest import FileEntry, Manifest, hex_of
from modelmill_registry.staging import Staging, scan_folder


class MaterialisedFolder:
    """The folder `materialised/<hex>` and its marker `materialised/<hex>.ok`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self._manifest = manifest
        self._marker = _marker(folder)

    def is_whole(self) -> bool:
        """Whether the folder was verified and has not been written to since."""
        try:
            marked = json.loads(self._marker.read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        try:
            seen = self._seen(self.folder)
        except FileNotFoundError:
            return False
        return bool(seen) and bool(marked == seen)

    def place(self, building: Path, entry: FileEntry, blob: Path) -> None:
        """Put one verified blob at its path below `building`."""
        target = building / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(blob, target)
        except OSError:  # another filesystem, or one without links, or too many of them
            shutil.copy2(blob, target)
            descriptor = os.open(target, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def publish(self, building: Path, *, marker_staging: Path) -> None:
        """Give the finished folder its name, then write the marker. Call under the lock."""
        self._marker.unlink(missing_ok=True)
        if self.folder.exists():  # half-made, or changed after it was made
            discarded = marker_staging / f"materialise-{uuid.uuid4().hex}"
            os.rename(self.folder, discarded)
            shutil.rmtree(discarded, ignore_errors=True)
        os.rename(building, self.folder)
        for folder, _, _ in os.walk(self.folder):
            sync_folder(Path(folder))
        sync_folder(self.folder.parent)
        marker = json.dumps(self._seen(self.folder)).encode()
        write_durably(marker_staging / f"marker-{uuid.uuid4().hex}", self._marker, marker)

    def _seen(self, folder: Path) -> dict[str, list[int]]:
        """Path to [bytes, modification time in ns] of every file; {} for another set of files."""
        scan = scan_folder(folder)
        if scan.problems or scan.paths != tuple(entry.path for entry in self._manifest.files):
            return {}
        seen = {}
        for entry in self._manifest.files:
            status = os.lstat(folder / entry.path)
            if status.st_size != entry.size:
                return {}
            seen[entry.path] = [status.st_size, status.st_mtime_ns]
        return seen


class MaterialisedFolders:
    """Materialised folders of a store; a lock keeps processes apart.

    Args:
        folder: Where they are.
        staging: Where they are built, on the same filesystem.
    """

    def __init__(self, folder: Path, staging: Staging) -> None:
        make_folder(folder)
        self._folder = folder
        self._staging = staging

    def whole(self, manifest: Manifest) -> Path | None:
        """The artifact's folder if it is made and unchanged; from now on it is the youngest."""
        made = self._made(manifest)
        with _locked(self._lock(made.folder), fcntl.LOCK_SH):
            if not made.is_whole():
                return None
            with suppress(PermissionError):  # another user made it
                os.utime(_marker(made.folder))
            return made.folder

    def make(self, manifest: Manifest, verified_blob: Callable[[FileEntry], Path]) -> Path:
        """Make the folder of files that `verified_blob` gives, one at a time.

        Raises:
            DiskFullError: There is no space for it.
        """
        made = self._made(manifest)
        with disk_full_on(self._folder.parent), _locked(self._lock(made.folder), fcntl.LOCK_EX):
            if made.is_whole():  # another process made it while this one waited
                return made.folder
            building = self._staging.new("materialise")
            try:
                for entry in manifest.files:
                    try:
                        made.place(building, entry, verified_blob(entry))
                    except FileNotFoundError:  # a cache removed it between the look and the link
                        made.place(building, entry, verified_blob(entry))
                made.publish(building, marker_staging=self._staging.folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return made.folder

    def oldest_first(self) -> list[Path]:
        """Folders by when they were last asked for."""
        ages = [(_asked_at(path), path) for path in self._folder.iterdir() if path.is_dir()]
        return [path for _, path in sorted(ages)]

    def remove(self, folder: Path, *, unasked_since: float) -> bool:
        """Remove a folder, unless somebody makes it, has asked for it since, or holds it."""
        try:
            with _locked(self._lock(folder), fcntl.LOCK_EX | fcntl.LOCK_NB):
                if _asked_at(folder) >= unasked_since:
                    return False
                with folder_locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    discarded = self._taken_away(folder)
        except (BlockingIOError, FileNotFoundError):
            return False
        shutil.rmtree(discarded, ignore_errors=True)
        return True

    def discard(self, folder: Path) -> None:
        """Remove a folder, whoever holds it: files that are open can still be read."""
        with _locked(self._lock(folder), fcntl.LOCK_EX):
            discarded = self._taken_away(folder)
        shutil.rmtree(discarded, ignore_errors=True)

    def _taken_away(self, folder: Path) -> Path:
        """Where the folder is, from now on; call under its lock."""
        _marker(folder).unlink(missing_ok=True)
        discarded = self._staging.new("materialise")
        os.rename(folder, discarded)
        return discarded

    def _made(self, manifest: Manifest) -> MaterialisedFolder:
        return MaterialisedFolder(self._folder / hex_of(manifest.digest), manifest)

    def _lock(self, folder: Path) -> Path:
        return folder.with_name(f"{folder.name}.lock")


@contextmanager
def in_use(*folders: Path) -> Iterator[None]:
    """Within the block no cache removes these materialised folders; the dead hold nothing.

    Raises:
        FileNotFoundError: One was removed before, as it is an hour after `materialise` at the
            earliest.
    """
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(folder_locked(folder, fcntl.LOCK_SH))
        yield


@contextmanager
def _locked(lock: Path, how: int) -> Iterator[None]:
    """Hold a lock file; the kernel frees the locks of the dead."""
    access = os.O_RDONLY if how == fcntl.LOCK_SH else os.O_RDWR
    with _flock(os.open(lock, access | os.O_CREAT), how):
        yield


@contextmanager
def folder_locked(folder: Path, how: int) -> Iterator[None]:
    """Hold a folder; the kernel frees the locks of the dead."""
    with _flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), how):
        yield


@contextmanager
def _flock(descriptor: int, how: int) -> Iterator[None]:
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _marker(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.ok")


def _asked_at(folder: Path) -> float:
    """When the folder was last asked for, as Unix time; a half-made one, when it was begun."""
    try:
        return _marker(folder).stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_mtime
