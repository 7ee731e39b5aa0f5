"""Loss and learning rate of a training job, gathered from its progress, drawn in the terminal."""

from typing import Any

import plotext
from rich.console import Console
from rich.text import Text

from modelmill_cli.gateway_client import GatewayClient

BARS = "▁▂▃▄▅▆▇█"
SPARKLINE_WIDTH = 24
LOSS_LINES, RATE_LINES = 14, 9


class LossCurve:
    """Collects what a job's progress reports say of its steps, each step once."""

    def __init__(self) -> None:
        self._by_step: dict[int, float] = {}
        self._rates: dict[int, float] = {}

    def observe(self, figures: dict[str, Any]) -> None:
        """Take one progress report."""
        if figures.get("phase") == "train" and "loss" in figures:
            step = int(figures["step"])
            self._by_step[step] = float(figures["loss"])
            if "learning_rate" in figures:
                self._rates[step] = float(figures["learning_rate"])

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
    plotext.clear_figure()
    plotext.plot_size(min(console.width, 90), lines)
    plotext.theme("clear")
    plotext.plot(list(steps), list(values), marker="braille")
    plotext.title(title)
    console.print(Text.from_ansi(plotext.build()))


PAGE = 100
MAX_PAGES = 20
"""More events than are kept of any job."""


def curve_of(client: GatewayClient, job_id: str) -> LossCurve:
    """What its events say of its steps, read page by page, newest first."""
    curve = LossCurve()
    after: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        page = client.get(f"/v1/jobs/{job_id}/events", limit=PAGE, **after)
        events = page.get("data") or []
        for event in events:
            curve.observe(event.get("data") or {})
        if not page.get("has_more") or not events:
            break
        after = {"after": events[-1]["id"]}
    return curve
