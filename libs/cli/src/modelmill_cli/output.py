"""Output of commands: tables and lines for people, JSON for programs (`--json`)."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from modelmill_cli.tables import escaped, plain, print_table

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON: one document, or for a list an object a line.")
]

Record = Mapping[str, Any]
Columns = Mapping[str, Callable[[Any], object]]
"""Of a table: what is in a row's cell, by the title."""


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Print a document, in which nothing moves the cursor of a terminal."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    typer.echo("\n".join(map(escaped, text.split("\n"))))


def print_list(items: Iterable[Any], columns: Columns, *, as_json: bool) -> None:
    """Print a row for each item; for programs its whole record, in a line."""
    if as_json:
        for item in items:
            print_json(item, indent=None)
        return
    table = Table(*columns)
    for item in items:
        table.add_row(*(plain(str(cell(item))) for cell in columns.values()))
    print_table(table)


def print_facts(record: Record, words: Record | None = None, *, as_json: bool) -> None:
    """Print the fields of a record, one a line; for programs the record.

    Args:
        words: Said instead of the values of these fields.
    """
    print_table_of(record, (dict(_fields_of(record)) | dict(words or {})).items(), as_json=as_json)


def print_table_of(record: Record, facts: Iterable[tuple[str, object]], *, as_json: bool) -> None:
    """Print a name and a value a line; for programs the record that they are of."""
    if as_json:
        print_json(record)
        return
    table = Table(show_header=False, box=None)
    for name, value in facts:
        table.add_row(name, plain(str(value)))
    if table.rows:
        print_table(table)


def print_done(record: object, words: str, *, as_json: bool) -> None:
    """Print what was done in one line; for programs the gateway's answer."""
    if as_json:
        print_json(record)
    else:
        Console(highlight=False).print(plain(words), soft_wrap=True)


STAYING = 5
"""Ids that are named after a deletion, at most."""


def what_stays(ids: Sequence[str], made: str, command: str) -> str:
    """What was made of a deleted thing and is not deleted with it; empty if nothing was.

    Args:
        made: What the ids are of, such as "Datasets made of it".
        command: Which deletes them.
    """
    if not ids:
        return ""
    more = f" and {len(ids) - STAYING} more" if len(ids) > STAYING else ""
    return f". {made} are still there: {', '.join(ids[:STAYING])}{more} (`{command}`)"


def _fields_of(record: Record) -> Iterable[tuple[str, object]]:
    """The fields that say something, with times as people write them."""
    for name, value in record.items():
        if name == "object" or value in (None, "", [], {}):
            continue
        is_time = name == "created" or name.endswith("_at")
        shown = when(value) if is_time and isinstance(value, int) else value
        if isinstance(shown, list):
            shown = ", ".join(map(str, shown))
        yield name.replace("_", " "), shown


def when(seconds: float | None) -> str:
    """A time in seconds since 1970, as people write it."""
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def print_secret(record: Record, secret: str, *, as_json: bool, quiet: bool = False) -> None:
    """Print a secret alone in its line; what is for people goes beside it, not into a pipe."""
    if as_json:
        print_json(record)
        return
    if not quiet:
        typer.echo(f"{record['id']}: keep this, it is not shown again", err=True)
    typer.echo(secret)
