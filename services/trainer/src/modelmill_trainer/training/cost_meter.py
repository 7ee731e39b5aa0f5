"""Cost and hardware utilisation of a run."""

import time
from collections.abc import Callable

from modelmill_trainer.domain.limits import MachinePrice


class CostMeter:
    """Measures from its creation; totals include earlier attempts.

    Args:
        units: Number of GPUs, or of cores without a GPU.
        price: Price of one unit.
        peak_flops: Measured peak FLOP/s of the machine; 0 if not measured.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        units: int = 1,
        price: MachinePrice | None = None,
        peak_flops: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._units = units
        self._price = price or MachinePrice()
        self._peak_flops = peak_flops
        self._clock = clock
        self._began = clock()
        self._earlier = 0.0

    def add_earlier_attempts(self, work_seconds: float) -> None:
        """Add the working time of earlier attempts, up to their last checkpoint."""
        self._earlier = work_seconds

    def totals(self) -> tuple[float, float]:
        """Total seconds and cost."""
        seconds = self._earlier + self._clock() - self._began
        return seconds, self._price.of(seconds, self._units)

    def figures(self, flops: float, seconds: float) -> dict[str, float]:
        """Metrics of a step."""
        figures = {"flops": flops}
        if self._peak_flops:
            figures["utilisation"] = flops / seconds / self._peak_flops
        if self._price.per_hour:
            figures["cost"] = self.totals()[1]
        return figures

    def summary(self, flops: float, step_seconds: float) -> dict[str, float | str]:
        """Entries of the job summary."""
        seconds, cost = self.totals()
        summary: dict[str, float | str] = {"flops": flops, "unit_seconds": seconds * self._units}
        if self._peak_flops and step_seconds:
            summary["peak_flops_per_second"] = self._peak_flops
            summary["utilisation"] = flops / step_seconds / self._peak_flops
        if self._price.per_hour:
            summary |= {"cost": cost, "currency": self._price.currency}
        return summary
