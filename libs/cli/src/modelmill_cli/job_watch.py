"""Follows a job through the gateway, and shows its progress and its loss curve."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol, Self

from modelmill_client import JobFailedError, Modelmill, ModelmillError, types
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from modelmill_cli.job_words import Job, advice_words, log_tail, turn_words
from modelmill_cli.tables import LOOK_SECONDS, LiveWords

BARS = "▁▂▃▄▅▆▇█"
SPARKLINE_WIDTH = 24
LOSS_LINES, RATE_LINES = 14, 9
CURVES = ("loss", "learning_rate")
TRAINING = "train"
DRAWN_POINTS = 400
"""A line of 90 characters has 180 dots, and each may be the lowest and the highest."""


class LossCurve:
    """Collects what a job's progress reports say of its steps, each step once."""

    def __init__(self) -> None:
        self._by_step: dict[int, float] = {}
        self._rates: dict[int, float] = {}

    def observe(self, figures: Mapping[str, Any]) -> None:
        """Take one progress report."""
        if figures.get("phase") == "train" and "loss" in figures:
            step = int(figures["step"])
            self._by_step[step] = float(figures["loss"])
            if "learning_rate" in figures:
                self._rates[step] = float(figures["learning_rate"])

    def take_series(self, name: str, steps: Iterable[int], values: Iterable[float]) -> None:
        """Take a whole series of a metric."""
        by_step = self._by_step if name == "loss" else self._rates
        by_step.update(zip(steps, values, strict=True))

    @property
    def losses(self) -> list[float]:
        return [loss for _, loss in sorted(self._by_step.items())]

    def sparkline(self) -> str:
        """The curve so far in a line of at most 24 characters; empty before the second step."""
        losses = self.losses
        if len(losses) < 2:
            return ""
        width = min(SPARKLINE_WIDTH, len(losses))
        shown = [losses[place * (len(losses) - 1) // (width - 1)] for place in range(width)]
        lowest, span = min(shown), (max(shown) - min(shown)) or 1.0
        return "".join(BARS[round((loss - lowest) / span * (len(BARS) - 1))] for loss in shown)

    def draw(self, console: Console) -> None:
        """Print the curves; nothing when fewer than two steps were seen."""
        _plot(console, "training loss by optimizer step", self._by_step, LOSS_LINES)
        _plot(console, "learning rate by optimizer step", self._rates, RATE_LINES)


def _plot(console: Console, title: str, by_step: dict[int, float], lines: int) -> None:
    if len(by_step) < 2:
        return
    steps, values = zip(*sorted(by_step.items()), strict=True)
    import plotext  # few jobs are drawn

    plotext.clear_figure()
    plotext.plot_size(min(console.width, 90), lines)
    plotext.theme("clear")
    plotext.plot(list(steps), list(values), marker="braille")
    plotext.title(title)
    console.print(Text.from_ansi(plotext.build()))


def curve_of(client: Modelmill, job_id: str) -> LossCurve:
    """Its losses and learning rates, in as many points as a terminal can show."""
    curve = LossCurve()
    for series in client.jobs.metrics(job_id, points=DRAWN_POINTS, name=CURVES)["series"]:
        if series["phase"] == TRAINING:
            curve.take_series(series["name"], series["steps"], series["values"])
    return curve


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

    def __exit__(self, *_: object) -> None:
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

    def __exit__(self, *_: object) -> None:
        """Nothing is held back that would have to be written now."""


def watch_job(
    client: Modelmill,
    job_id: str,
    title: str,
    console: Console,
    *,
    on_figures: Callable[[Mapping[str, Any]], None] = lambda _: None,
    display: JobDisplay | None = None,
    turn_seconds: float = LOOK_SECONDS,
) -> Job:
    """Show the job's phases, figures and losses until it ends; return its record.

    Args:
        on_figures: called with what each progress report has: phase, step, total_steps, metrics.
        display: shows it in place of a bar, or of lines, and of the curve at the end.
        turn_seconds: while it waits, between two looks at where.

    Raises:
        JobFailedError: it did not succeed.
    """
    curve, words = LossCurve(), ""
    with display or display_on(console, title) as shown:
        ask = partial(_turn_now, client, job_id)
        with LiveWords(ask, lambda it: shown.show(figures=it), turn_seconds) as turn:
            for event in client.jobs.follow(job_id):
                facts = event.get("data") or {}
                turn.waits("phase" not in facts and facts.get("status") == "queued")
                if "phase" not in facts:
                    phase = facts.get("status") or event.get("message", "")
                    shown.show(phase=phase, figures=words)
                    continue
                curve.observe(facts)
                on_figures(facts)
                now, words = _figures(facts, curve)
                step, total = (int(facts.get(field) or 0) for field in ("step", "total_steps"))
                shown.show(phase=facts["phase"], figures=now, step=step, total=total)
    if display is None:
        curve.draw(console)
    return _ended_well(client.jobs.retrieve(job_id), title, console)


def _figures(facts: Mapping[str, Any], curve: LossCurve) -> tuple[str, str]:
    """Of a progress report, now, and beside what follows: time left is of the phase alone."""
    left, drawn = facts.get("eta_seconds"), curve.sparkline()
    return f"{figures_line(facts, left)}  {drawn}", f"{figures_line(facts, None)}  {drawn}"


def _turn_now(client: Modelmill, job_id: str) -> str:
    """Where the job waits; empty when it does not, or nobody answers yet."""
    try:
        return turn_words(client.jobs.retrieve(job_id))
    except ModelmillError:
        return ""  # whoever follows the events waits for the gateway, or says what is wrong
    except RuntimeError:
        return ""  # httpx says so of a client that was closed meanwhile


def _ended_well(job: types.Job, title: str, console: Console) -> Job:
    if job["status"] != "succeeded":
        if log_tail(job):
            console.print(log_tail(job), markup=False, highlight=False)
        raise JobFailedError(job)
    if advice := advice_words(job):
        console.print(f"[yellow]{title}[/yellow]: {escape(advice)}", soft_wrap=True)
    return job


def figures_line(metrics: Mapping[str, Any], eta_seconds: float | None) -> str:
    """Loss, rate and time left, of what a progress report has."""
    words = []
    if "loss" in metrics:
        words.append(f"loss {metrics['loss']:.3f}")
    if "learning_rate" in metrics:
        words.append(f"lr {metrics['learning_rate']:.1e}")
    if "tokens_per_second" in metrics:
        words.append(f"{metrics['tokens_per_second']:.0f} tokens/s")
    if eta_seconds is not None and eta_seconds >= 0:
        words.append(f"{eta_seconds:.0f} s left")
    return "  ".join(words)
