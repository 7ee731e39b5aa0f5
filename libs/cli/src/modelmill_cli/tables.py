"""Tables in which nothing is cut off: what one shows, another command is given."""

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

UNBOUNDED = 10_000
"""Columns of what is no terminal."""
LEAST = 6
"""Columns that each other part of a table is left on a narrow terminal, its frame included."""


def print_table(table: Table) -> None:
    """Print it: cells fold where the terminal is narrow, and the first column last of all.

    A file or a pipe gets each row in one line, however long.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=UNBOUNDED)
    for column in table.columns:
        column.overflow = "fold"
    room = console.width - LEAST * (len(table.columns) - 1) - 4
    first = table.columns[0]
    first.min_width = max(1, min(room, max(_widths(first), default=1)))
    console.print(table)


def _widths(column: Column) -> Iterator[int]:
    for cell in (column.header, *column.cells):
        yield from map(cell_len, str(cell).splitlines())
