"""Temporary storage of running uploads, each in a folder with a random name."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

_STALE_SECONDS = 24 * 3600


class SpooledUpload:
    def __init__(self, folder: Path, file: BinaryIO) -> None:
        self.folder = folder
        self._file = file

    async def write(self, chunk: bytes) -> None:
        """Append unbuffered, so that the folder can be read at any time."""
        await asyncio.to_thread(self._write, chunk)

    def _write(self, chunk: bytes) -> None:
        self._file.write(chunk)


class FileSpool:
    """Spool directory; leftovers of killed processes are removed at start, after a day."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        oldest = time.time() - _STALE_SECONDS
        for left in root.iterdir():
            if left.stat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)

    @asynccontextmanager
    async def open(self, name: str) -> AsyncIterator[SpooledUpload]:
        """A new file in a folder of its own; both are deleted when the block ends."""
        with (
            tempfile.TemporaryDirectory(dir=self._root) as folder,
            (Path(folder) / name).open("xb", buffering=0) as file,
        ):
            yield SpooledUpload(Path(folder), file)
