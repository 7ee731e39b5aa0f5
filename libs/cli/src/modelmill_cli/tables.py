"""Terminal tables that never truncate, so that ids can be copied to other commands."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Column, Table

UNBOUNDED = 10_000
"""Columns of what is no terminal."""
LEAST = 6
"""Columns that each other part of a table is left on a narrow terminal, its frame included."""


def print_table(table: Table) -> None:
    """Print it: cells fold where the terminal is narrow, and the first column last of all.

    A file or a pipe gets each row in one line, however long, and no frame.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=UNBOUNDED)
        table.box, table.padding = None, (0, 2, 0, 0)
    for column in table.columns:
        column.overflow = "fold"
    room = console.width - LEAST * (len(table.columns) - 1) - 4
    first = table.columns[0]
    first.min_width = max(1, min(room, max(_widths(first), default=1)))
    console.print(table)


def _widths(column: Column) -> Iterator[int]:
    for cell in (column.header, *column.cells):
        yield from map(cell_len, str(cell).splitlines())


def data_size(size: float) -> str:
    """In bytes, or in the largest decimal unit of which it is one or more: kB, MB, GB."""
    return decimal(round(size))


_UNSEEN = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2069\\ufeff]")
"""Controls, which a terminal would obey, marks that turn the direction of what follows, and
characters of no width."""


def escaped(text: str) -> str:
    """A text in which nothing moves the cursor or hides: such characters are written as in JSON."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(text: str) -> str:
    """The same for rich: a text has no markup of ours."""
    return escape(escaped(text))


LOOK_SECONDS = 5.0


class LiveWords:
    """Tells the words now and then, in a thread, while somebody waits and until the block ends.

    Args:
        ask: the words; empty when there is nothing to wait for, or nobody answers.
        tell: shows them; never called after `waits(False)`.
    """

    def __init__(
        self, ask: Callable[[], str], tell: Callable[[str], None], seconds: float = LOOK_SECONDS
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._seconds = seconds
        self._waits = threading.Event()
        self._waits.set()
        self._ended = threading.Event()
        self._telling = threading.Lock()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "LiveWords":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.waits(False)
        self._ended.set()
        self._waits.set()  # so that the thread sees that it has ended

    def waits(self, waits: bool) -> None:
        """Say whether somebody still waits."""
        with self._telling:
            if waits:
                self._waits.set()
            else:
                self._waits.clear()

    def _run(self) -> None:
        while self._waits.wait() and not self._ended.is_set():
            try:
                words = self._ask()
            except RuntimeError:
                if self._ended.is_set():
                    return  # what it asks was closed meanwhile
                raise
            with self._telling:
                if self._waits.is_set() and not self._ended.is_set():
                    self._tell(words)
            self._ended.wait(self._seconds)


def loading_words(model: Mapping[str, Any]) -> str:
    """How far an engine is with loading it; empty when none loads it."""
    loading = model.get("loading")
    if not loading:
        return ""
    left = loading["remaining_seconds"]
    ahead = "" if left is None else f", about {left:.0f} s left"
    return f"loading… {loading['elapsed_seconds']:.0f} s so far{ahead}"
