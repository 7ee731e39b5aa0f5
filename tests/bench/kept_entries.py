"""Entries of several groups in one file, where each keeps the commit and date of its own run."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from tests import run_record
from tests.bench.figures import Entry, Unmeasured
from tests.bench.report import show

Group = Callable[[], Sequence[Entry]]


def run_groups(module: str, groups: Mapping[str, Group], file: Path) -> int:
    """The command line of a bench of several groups: measure, show, and keep if asked.

    Returns:
        Exit status: 1 when a goal is missed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--only", nargs="+", choices=[*groups], default=[*groups])
    parser.add_argument("--keep", action="store_true", help=f"write {file}")
    given = parser.parse_args()
    lines = [line for group in given.only for line in groups[group]()]
    show(lines, Console())
    if given.keep:
        keep_entries(lines, file)
    return 0 if all(line.met is not False for line in lines) else 1


def keep_entries(
    lines: Sequence[Entry], file: Path, lacking: Sequence[Unmeasured] | None = None
) -> None:
    """Write entries in place of those of the same ids; whatever else the file has stays.

    Args:
        lacking: Lines without a figure, in place of all that the file has; None leaves those.
    """
    run = run_record.circumstances(())
    own = {"commit": run["commit"], "date": run["date"]}
    entries = {line.id: asdict(line) | own for line in lines}
    not_measured = [asdict(line) | own for line in lacking or ()]
    kept: dict[str, Any] = {}
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        before = {"commit": kept["commit"], "date": kept["date"]}
        entries = {one["id"]: before | one for one in kept["entries"]} | entries
        if lacking is None:
            not_measured = kept.get("not_measured", [])
    told = {"not_measured": not_measured} if not_measured else {}
    kept.pop("not_measured", None)
    run_record.save(kept | run | {"entries": [*entries.values()]} | told, file)
