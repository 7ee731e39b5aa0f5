"""A local folder of an artifact: links to its blobs, and a marker that says it was verified.

The marker lies beside the folder, so that the folder holds the artifact's files and nothing else.
It records size and modification time of each file: a folder that is looked at again is compared by
those, and made again from verified blobs when anything differs. Bits that rot on the disk without a
write are found by `FolderStore.verify`, not here.
"""

import json
import os
import shutil
import uuid
from pathlib import Path

from registry.durable import sync_folder, write_durably
from registry.folder_scan import scan_folder
from registry.manifest import FileEntry, Manifest


class MaterialisedFolder:
    """The folder `materialised/<hex>` and its marker `materialised/<hex>.ok`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self._manifest = manifest
        self._marker = folder.with_name(f"{folder.name}.ok")

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
