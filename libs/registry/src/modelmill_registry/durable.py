"""Writes that a power cut leaves whole or absent: temp name, fsync, replace, fsync the folder."""

import os
from pathlib import Path
from stat import S_IMODE


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
