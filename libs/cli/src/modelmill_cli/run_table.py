"""A run of a recipe as it goes: one live table of its steps on a terminal, lines elsewhere."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from modelmill_client import Modelmill
from modelmill_recipes.api import Record, StepView
from rich.console import Console
from rich.live import Live
from rich.table import Table

from modelmill_cli.job_watch import JobDisplay, LossCurve, watch_job
from modelmill_cli.job_words import TERMINAL, duration_words
from modelmill_cli.tables import plain

QUEUED = "queued"
BAR_WIDTH = 16


@dataclass
class StepRow(JobDisplay):
    """A step; while its job is followed it takes what the job reports."""

    step: str
    state: str = ""
    words: str = ""
    done: str = ""
    loss: str = ""
    rate: str = ""
    left: str = ""
    _curve: LossCurve = field(default_factory=LossCurve)

    def observe(self, facts: Mapping[str, Any]) -> None:
        """Take a progress report."""
        self._curve.observe(dict(facts))
        left = facts.get("eta_seconds")
        if "loss" in facts:
            self.loss = f"{facts['loss']:.3f} {self._curve.sparkline()}".strip()
        if "tokens_per_second" in facts:
            self.rate = f"{facts['tokens_per_second']:,.0f} tokens/s"
        self.left = duration_words(left) if left is not None and left >= 0 else ""

    def show(
        self, *, phase: str = "", figures: str | None = None, step: int = 0, total: int = 0
    ) -> None:
        """Take phase and steps; of figures the words of where it waits, as the others are read from
        its reports."""
        self.words = phase or self.words
        if step or (phase and phase not in TERMINAL):
            self.done = _bar(step, total) if step else ""
        if figures is not None and self.words == QUEUED:
            self.left = figures.strip()

    def __enter__(self) -> Self:
        self.words = QUEUED
        return self

    def __exit__(self, *_: object) -> None:
        self.left = ""


class RunView(StepView, AbstractContextManager["RunView"], Protocol):
    """Shows the steps of a run, and the job that is followed."""

    def follow(self, client: Modelmill, job_id: str, step: str) -> Record:
        """Show a job until it ends.

        Raises:
            JobFailedError: It did not succeed.
        """


def view_on(console: Console, steps: Sequence[str]) -> RunView:
    """The way that suits what the console writes to."""
    return RunTable(console, steps) if console.is_terminal else RunLines(console)


class RunLines(RunView):
    """Steps as lines, each with what came of it: a file can hold them."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def follow(self, client: Modelmill, job_id: str, step: str) -> Record:
        """Show a job until it ends."""
        return watch_job(client, job_id, step, self._console)

    def __exit__(self, *_: object) -> None:
        """Nothing is held back that would have to be written now."""

    def kept(self, step: str, words: str) -> None:
        """It was done before."""
        self._say("kept", step, words)

    def done(self, step: str, words: str) -> None:
        """It is done now."""
        self._say("done", step, words)

    def left(self, step: str, words: str) -> None:
        """It is left undone."""
        self._say("left", step, words)

    def _say(self, how: str, step: str, words: str) -> None:
        self._console.print(f"{how}  {step:<12} {plain(words)}", soft_wrap=True)


class RunTable(RunView):
    """Steps in their order, with state, progress, loss, rate and time remaining of each."""

    def __init__(self, console: Console, steps: Sequence[str]) -> None:
        self._rows = {step: StepRow(step) for step in steps}
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def kept(self, step: str, words: str) -> None:
        """It was done before."""
        self._end(step, "kept", words)

    def done(self, step: str, words: str) -> None:
        """It is done now."""
        self._end(step, "done", words)

    def left(self, step: str, words: str) -> None:
        """It is left undone."""
        self._end(step, "left", words)

    def follow(self, client: Modelmill, job_id: str, step: str) -> Record:
        """Show a job in its row until it ends."""
        row, console = self._row(step), self._live.console
        row.state = "now"
        try:
            job = watch_job(client, job_id, step, console, on_figures=row.observe, display=row)
        except BaseException:
            row.state = "ended"
            raise
        row.state = "done"
        return job

    def _row(self, step: str) -> StepRow:
        return self._rows.setdefault(step, StepRow(step))

    def _end(self, step: str, state: str, words: str) -> None:
        row = self._row(step)
        row.state, row.words, row.left = state, words, ""

    def _table(self) -> Table:
        table = Table("step", "", "done", "loss", "rate", "left", "", box=None, pad_edge=False)
        for row in self._rows.values():
            cells = (row.step, row.state, row.done, row.loss, row.rate, row.left)
            table.add_row(*cells, plain(row.words))
        return table


def _bar(step: int, total: int) -> str:
    if not total:
        return f"{step:,}"
    filled = min(step * BAR_WIDTH // total, BAR_WIDTH)
    return f"{'━' * filled}{'─' * (BAR_WIDTH - filled)} {step:,}/{total:,}"
