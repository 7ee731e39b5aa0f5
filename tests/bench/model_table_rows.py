"""The rows of model_table: what became of each architecture, as figures, a page and a table."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table

from tests.bench.figures import Entry
from tests.bench.tiny_architectures import Architecture

LEAST = 20
"""Architectures in the table."""
CELLS = {
    "import": "import",
    "lora": "LoRA",
    "full": "all weights",
    "resume": "pause, resume",
    "int8": "merge, 8-bit",
    "adapter": "answers: adapter",
    "whole": "answers: all weights",
    "openvino": "answers: 8-bit",
    "tool": "tool call",
}
WORKS, AFTER = "works", "needs "
"""What a cell says; `needs import` where an earlier cell failed."""
WIDTH = 120
"""Characters of a line of the page."""
UNEXPLAINED = ("CHILD_DIED", "INTERNAL", "internal", "does not answer", "Traceback")
"""What stands in messages that say nothing of the model."""


@dataclass
class Row:
    """One architecture, and what became of it."""

    architecture: Architecture
    cells: dict[str, str] = field(default_factory=dict)

    def decided(self) -> bool:
        """Whether each cell works, or has a message of ours."""
        return not any(mark in cell for cell in self.cells.values() for mark in UNEXPLAINED)

    def whole(self) -> bool:
        """Whether each cell works."""
        return all(self.cells[name] == WORKS for name in CELLS)


def entries(rows: Sequence[Row]) -> list[Entry]:
    """Of the whole table."""
    decided, whole = (sum(test(row) for row in rows) for test in (Row.decided, Row.whole))
    undecided = [row.architecture.model_type for row in rows if not row.decided()]
    note = f"of {len(rows)}; not decided: {', '.join(undecided) or 'none'}"
    return [
        Entry(
            "hub.model_table.architectures",
            decided,
            "architectures",
            "no rival",
            decided / len(rows),
            f">= {LEAST}, and all",
            decided == len(rows) >= LEAST,
            (decided / len(rows), decided / len(rows)),
            note,
        ),
        Entry(
            "hub.model_table.whole",
            whole,
            "architectures",
            "all of the table",
            whole / len(rows),
            "",
            None,
            (whole / len(rows), whole / len(rows)),
            f"of {len(rows)}, which work in every cell",
        ),
    ]


def page(rows: Sequence[Row], commit: str) -> str:
    """The table as a page of the documentation; messages stand below it."""
    lines = [
        "# Tested architectures",
        "",
        "Tiny random models of each architecture, taken through what a user would do with one.",
        f"Written by `make model-table`, at commit {commit[:8]}. A number points to what was said.",
        "",
        f"| architecture | {' | '.join(CELLS.values())} |",
        f"|---|{'---|' * len(CELLS)}",
    ]
    messages: list[str] = []
    for row in rows:
        shown = [_mark(row.cells[name], messages) for name in CELLS]
        lines.append(f"| {row.architecture.name} | {' | '.join(shown)} |")
    found = [
        textwrap.fill(f"{number}. `{message}`", WIDTH, subsequent_indent="   ")
        for number, message in enumerate(messages, 1)
    ]
    notes = ["", "✓ works; – needs a step that does not.", "", *found] if found else []
    return "\n".join([*lines, *notes, ""])


def _mark(cell: str, messages: list[str]) -> str:
    if cell == WORKS:
        return "✓"
    if cell.startswith(AFTER):
        return "–"
    message = " ".join(cell.replace("`", "'").split())
    if message not in messages:
        messages.append(message)
    return str(messages.index(message) + 1)


def table(rows: Sequence[Row]) -> Table:
    """On the terminal."""
    shown = Table("architecture", *CELLS.values())
    for row in rows:
        shown.add_row(row.architecture.name, *(row.cells.get(name, "") for name in CELLS))
    return shown
