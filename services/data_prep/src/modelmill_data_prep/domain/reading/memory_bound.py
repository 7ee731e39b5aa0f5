"""Bound on the memory that a library may take for one block of an untrusted file.

A few bytes of Parquet or of a ZIP archive can stand for any amount of values.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from modelmill_service_kit.errors import InvalidInputError

Step = TypeVar("Step")

_DATA_PAGES = 5
"""Column of statm: pages that are written and not shared."""


def bounded_steps(steps: Iterator[Step], most_bytes: int) -> Iterator[Step]:
    """The same steps, each of which may add `most_bytes` to what the process has.

    Raises:
        InvalidInputError: A step wants more.
    """
    while True:
        try:
            with _bounded_memory(most_bytes):
                step = next(steps, None)
        except MemoryError as error:
            raise InvalidInputError(
                f"reading the file takes more than {most_bytes} bytes of memory at a time. Save it"
                " with shorter rows, or as JSONL"
            ) from error
        if step is None:
            return
        yield step


@contextmanager
def _bounded_memory(most_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[_DATA_PAGES])
    limits = [pages * resource.getpagesize() + most_bytes, soft, hard]
    least = min(limit for limit in limits if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
