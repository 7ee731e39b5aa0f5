"""Locked requirements: what `make lock` resolved, by the markers of an image."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name

IMAGE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.2",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""Where images run, as markers ask."""
ENTRY = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[\w.!+-]+)(?: ; (?P<marker>[^\\]+?))?"
    r"(?: \\| --hash=sha256:[0-9a-f]{64})*"
)
"""The first line of a package."""
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class LockError(Exception):
    """A lock has something that cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Locked:
    """One package of a lock."""

    name: str
    version: str
    sha256: tuple[str, ...]
    """Of all its files that may be installed."""


def locked(file: Path) -> Iterator[Locked]:
    """What of a lock is installed into an image.

    Raises:
        LockError: A line is neither a package with its version nor a comment.
    """
    for entry in re.split(r"\n(?=\S)", file.read_text("utf-8")):
        first = entry.partition("\n")[0].rstrip()
        if not first or first.startswith("#"):
            continue
        found = ENTRY.fullmatch(first)
        if found is None:
            raise LockError(
                f"{file} has {first[:80]!r}, which is no package with its version. Run make lock"
            )
        if not found["marker"] or Marker(found["marker"]).evaluate(IMAGE):
            yield Locked(
                canonicalize_name(found["name"]), found["version"], tuple(HASH.findall(entry))
            )
