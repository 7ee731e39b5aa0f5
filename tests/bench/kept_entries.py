"""Entries of several groups in one file, where each keeps the commit and date of its own run."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests import run_record
from tests.bench.figures import Entry


def keep_entries(lines: Sequence[Entry], file: Path) -> None:
    """Write entries in place of those of the same ids; the others of the file stay."""
    run = run_record.circumstances(())
    own = {"commit": run["commit"], "date": run["date"]}
    entries = {line.id: asdict(line) | own for line in lines}
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        before = {"commit": kept["commit"], "date": kept["date"]}
        entries = {one["id"]: before | one for one in kept["entries"]} | entries
    run_record.save(run | {"entries": [*entries.values()]}, file)
