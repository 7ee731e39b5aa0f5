"""A file of a folder that is one process's own for as long as it runs, and the next one's then."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MOST_PROCESSES = 256


@contextmanager
def own_file(folder: Path, name: str) -> Iterator[BinaryIO]:
    """The first that no other process has, unbuffered; made when there is none.

    Args:
        name: with {} where its number stands.

    Raises:
        OSError: the folder cannot be written, or too many processes have a file in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(MOST_PROCESSES):
        path = folder / name.format(number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield file
            return
    raise OSError(f"{MOST_PROCESSES} processes have a file in {folder} already")
