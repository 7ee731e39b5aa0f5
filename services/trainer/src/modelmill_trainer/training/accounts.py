"""What a run costs: time of cores or GPUs, money, and how much of the machine it uses."""

import time
from collections.abc import Callable

from modelmill_trainer.domain.limits import Price


class Accounts:
    """Counts from its making; all attempts of a run together.

    Args:
        units: Cores, or GPUs where there are any.
        price: Of one of them.
        peak_flops: Operations a second that the machine reaches; 0 when it was not measured.
        clock: Seconds that go on steadily.
    """

    def __init__(
        self,
        units: int = 1,
        price: Price | None = None,
        peak_flops: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._units = units
        self._price = price or Price()
        self._peak_flops = peak_flops
        self._clock = clock
        self._began = clock()
        self._earlier = 0.0

    def go_on_from(self, work_seconds: float) -> None:
        """Earlier attempts took so long until they saved last."""
        self._earlier = work_seconds

    def so_far(self) -> tuple[float, float]:
        """Seconds, and money."""
        seconds = self._earlier + self._clock() - self._began
        return seconds, self._price.of(seconds, self._units)

    def figures(self, flops: float, seconds: float) -> dict[str, float]:
        """Of a step that needed so many operations and took so long."""
        figures = {"flops": flops}
        if self._peak_flops:
            figures["utilisation"] = flops / seconds / self._peak_flops
        if self._price.per_hour:
            figures["cost"] = self.so_far()[1]
        return figures

    def summary(self, flops: float, step_seconds: float) -> dict[str, float | str]:
        """Of the whole run, for people."""
        seconds, cost = self.so_far()
        summary: dict[str, float | str] = {"flops": flops, "unit_seconds": seconds * self._units}
        if self._peak_flops and step_seconds:
            summary["peak_flops_per_second"] = self._peak_flops
            summary["utilisation"] = flops / step_seconds / self._peak_flops
        if self._price.per_hour:
            summary |= {"cost": cost, "currency": self._price.currency}
        return summary
