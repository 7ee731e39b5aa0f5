"""The loss of a training job, gathered from its progress and drawn in the terminal."""

from typing import Any

import plotext
from rich.console import Console
from rich.text import Text


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
