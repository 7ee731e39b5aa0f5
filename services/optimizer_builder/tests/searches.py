"""A workshop of tests: candidates whose figures are written down, and what was asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelmill_optimizer_builder.domain.measurements import LoadRepeat, Round
from modelmill_optimizer_builder.domain.objectives import Figure, Load, MeasuredObjective
from modelmill_optimizer_builder.domain.pareto import SOURCE, Point
from modelmill_optimizer_builder.search_forms import (
    Built,
    CandidateRefusedError,
    SearchOrder,
)

LOAD = Load(prompt_tokens=8, output_tokens=10, in_flight=1)
WEIGHTS_BYTES = 100 * 10**6


def repeat_of(latency_ms: float, *, memory_mb: float = 100.0, rounds: int = 6) -> LoadRepeat:
    """Rounds of one request that take about as long, within 2 %."""
    each = [latency_ms * (1 + 0.01 * (number % 3 - 1)) for number in range(rounds)]
    return LoadRepeat(tuple(Round(ms / 1000, (ms,), (ms / 10,)) for ms in each), (), memory_mb)


@dataclass
class Known:
    """A candidate that only a test knows."""

    latencies_ms: tuple[float, ...]
    """Of each repeat; the last one goes on."""
    size_mb: float = 50.0
    loss: float | None = 0.0
    refused: str = ""
    seconds: float = 100.0
    """That a build takes."""


@dataclass
class TableWorkshop:
    """`search_forms.Workshop` on a table."""

    table: Mapping[str, Known]
    tried: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    repeats: list[str] = field(default_factory=list)
    seconds: float = 0.0

    async def build(self, form: str) -> Built:
        known = self.table[form]
        self.tried.append(form)
        self.seconds += known.seconds
        if known.refused:
            raise CandidateRefusedError(known.refused)
        size_bytes, lost = int(known.size_mb * 10**6), known.loss
        loss = None if lost is None else Figure(lost, lost - 0.01, lost + 0.01)
        return Built(size_bytes, loss, agreement=0.9)

    async def repeat(self, form: str) -> LoadRepeat:
        latencies = self.table[form].latencies_ms
        number = self.repeats.count(form)
        self.repeats.append(form)
        self.seconds += 10.0
        return repeat_of(latencies[min(number, len(latencies) - 1)])

    async def next(self, _measured: Mapping[str, float], waiting: Mapping[str, float]) -> str:
        return min(waiting, key=lambda form: waiting[form])

    async def drop(self, form: str) -> None:
        self.dropped.append(form)


def order_of(name: str, value: float, forms: tuple[str, ...], **changes: object) -> SearchOrder:
    """A search with time for everything."""
    usual: dict[str, object] = {
        "objective": MeasuredObjective(name, value),
        "load": LOAD,
        "most_lost": 0.02,
        "budget_seconds": 10_000.0,
        "price_per_hour": 3.6,
        "weights_bytes": WEIGHTS_BYTES,
        "forms": forms,
        "refused": {},
    }
    return SearchOrder(**(usual | changes))  # type: ignore[arg-type]


def point_of(form: str, *, size_mb: float, loss: float | None = 0.0, **fields: object) -> Point:
    """A point of which nothing but size and loss matters."""
    figures = {"size_mb": Figure.exact(size_mb)}
    known = None if loss is None else Figure(loss, loss, loss)
    return Point(form, figures, known, **fields)  # type: ignore[arg-type]


__all__ = ["LOAD", "SOURCE", "Known", "TableWorkshop", "order_of", "point_of", "repeat_of"]
