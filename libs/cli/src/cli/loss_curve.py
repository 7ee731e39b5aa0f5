"""The loss of a training job, gathered from its progress and drawn in the terminal."""

from typing import Any

import plotext
from rich.console import Console
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"
SPARKLINE_WIDTH = 24


class LossCurve:
    """Collects (step, loss) from a job's progress reports, each step once."""

    def __init__(self) -> None:
        self._by_step: dict[int, float] = {}

    def observe(self, figures: dict[str, Any]) -> None:
        """Take one progress report."""
        if figures.get("phase") == "train" and "loss" in figures:
            self._by_step[int(figures["step"])] = float(figures["loss"])

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
        """Print the curve; nothing when fewer than two steps were seen."""
        if len(self._by_step) < 2:
            return
        steps, losses = zip(*sorted(self._by_step.items()), strict=True)
        plotext.clear_figure()
        plotext.plot_size(min(console.width, 90), 14)
        plotext.theme("clear")
        plotext.plot(list(steps), list(losses), marker="braille")
        plotext.title("training loss by optimizer step")
        console.print(Text.from_ansi(plotext.build()))
