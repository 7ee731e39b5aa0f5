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
ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Locked:
    """One package of a lock."""

    name: str
    version: str
    sha256: tuple[str, ...]
    """Of all its files that may be installed."""


def locked(file: Path) -> Iterator[Locked]:
    """What of a lock is installed into an image."""
    for entry in re.split(r"\n(?=\S)", file.read_text("utf-8")):
        found = ENTRY.match(entry)
        if found and (not found["marker"] or Marker(found["marker"].strip()).evaluate(IMAGE)):
            yield Locked(
                canonicalize_name(found["name"]), found["version"], tuple(HASH.findall(entry))
            )
