"""How a followed job is shown: one live bar on a terminal, and in a file or a pipe line by line."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


class JobDisplay(AbstractContextManager["JobDisplay"], Protocol):
    """Shows the newest of a job until its block ends."""

    def show(
        self, *, phase: str = "", figures: str | None = None, step: int = 0, total: int = 0
    ) -> None:
        """Show what is given; what is empty, or None, stays as it was."""


def display_on(console: Console, title: str) -> JobDisplay:
    """The way that suits what the console writes to."""
    return Bar(console, title) if console.is_terminal else Lines(console, title)


class Bar(JobDisplay):
    """A bar that is drawn again and again where it stands."""

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task(f"{title}: queued", total=None, figures="")

    def show(
        self, *, phase: str = "", figures: str | None = None, step: int = 0, total: int = 0
    ) -> None:
        """Draw it so."""
        description = f"{self._title}: {phase}" if phase else None
        steps, of = step or None, total or None
        self._progress.update(self._task, description=description, completed=steps, total=of)
        if figures is not None:
            self._progress.update(self._task, figures=figures)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()


class Lines(JobDisplay):
    """A line for each thing that is new: it never moves back, so that a file can hold it."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._phase = "queued"
        self._last = ""

    def show(
        self, *, phase: str = "", figures: str | None = None, step: int = 0, total: int = 0
    ) -> None:
        """Write it, unless it is what was written last."""
        self._phase = phase or self._phase
        steps = f"{step}/{total or '?'}" if step else ""
        words = (f"{self._title}: {self._phase}", steps, (figures or "").strip())
        line = "  ".join(word for word in words if word)
        if line != self._last:
            self._last = line
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is held back that would have to be written now."""
