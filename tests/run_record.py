"""What a kept measurement says of itself: when, of which commit, on which machine, with what."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


class NotWorthKeepingError(Exception):
    """A run that must not stand for the project; the message says why."""


def circumstances(packages: Sequence[str]) -> dict[str, Any]:
    """Date, commit, machine, and the versions of `packages` (None for one that is not there)."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "machine": _machine(),
        "versions": {name: _version(name) for name in packages},
    }


def save(run: dict[str, Any], file: Path) -> None:
    """Write a run."""
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(json.dumps(run, indent=1) + "\n")


def keep(run: dict[str, Any], problems: Sequence[str], file: Path) -> None:
    """Write a run where the repository keeps its last one.

    Args:
        problems: what speaks against this run.

    Raises:
        NotWorthKeepingError: something does, or the run is of no commit.
    """
    unclean = ["the tree has changes that no commit has"] if run["dirty"] else []
    if found := [*problems, *unclean]:
        raise NotWorthKeepingError(f"the run is not kept: {'; '.join(found)}")
    save(run, file)


def commits_since(commit: str) -> str:
    """How many commits the tree is ahead of one; a question mark for one that it does not know."""
    return _git("rev-list", "--count", f"{commit}..HEAD") or "?"


def _machine() -> dict[str, Any]:
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    try:
        ended = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:  # a copy of the tree, on a machine without git
        return ""
    return ended.stdout.strip()
