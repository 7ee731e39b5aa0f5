"""The table of calls and clients: for the terminal, for the README, and to be kept."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.clients.calls import CALLS
from tests.clients.running import Column

NO_CALL = "–"
MEASURED = "Measured on"
"""Begins the part of the README that a kept run writes anew."""


def document(columns: Sequence[Column]) -> dict[str, Any]:
    """What is kept of a run, beside its circumstances."""
    return {
        "clients": [
            {
                "name": column.client.name,
                "package": column.client.package,
                "version": column.version,
                "results": {call: why or "pass" for call, why in column.results.items()},
            }
            for column in columns
        ]
    }


def show(columns: Sequence[Column], console: Console) -> None:
    """Print the table, and each failure in a line."""
    table = Table("call", *(f"{it.client.name}\n{it.version}" for it in columns))
    for call in rows(columns):
        table.add_row(call, *(_cell(column, call) for column in columns))
    console.print(table)
    for column in columns:
        for call, why in column.failures.items():
            console.print(f"{column.client.name}, {call}: {why}", markup=False, highlight=False)


def rows(columns: Sequence[Column]) -> list[str]:
    """All calls that anybody made, in the order of the table."""
    made = {call for column in columns for call in column.results}
    return [*(call for call in CALLS if call in made), *sorted(made - set(CALLS))]


def as_markdown(kept: dict[str, Any]) -> str:
    """The table as it stands in the README."""
    clients = kept["clients"]
    made = {call for client in clients for call in client["results"]}
    lines = [
        "| call | " + " | ".join(f"{it['name']} {it['version']}" for it in clients) + " |",
        "|---|" + "---|" * len(clients),
    ]
    for call in [*(it for it in CALLS if it in made), *sorted(made - set(CALLS))]:
        cells = (_word(client["results"].get(call)) for client in clients)
        lines.append(f"| {call} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_measured(kept: dict[str, Any]) -> str:
    """The end of the README: when, of what and where it was measured, and the table."""
    machine = kept["machine"]
    where = f"{machine['cores']} cores ({machine['cpu']}), Python {machine['python']}"
    line = f"{MEASURED} {kept['date'][:10]} at commit {kept['commit'][:7]}, on {where}:"
    return f"{line}\n\n{as_markdown(kept)}\n"


def _word(result: str | None) -> str:
    if result is None:
        return NO_CALL
    return result if result == "pass" else "fail"


def _cell(column: Column, call: str) -> str:
    if call not in column.results:
        return NO_CALL
    return "[green]pass[/]" if column.results[call] is None else "[red]fail[/]"
