"""Figures of a load from its measured rounds, and measurements that contradict each other."""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from modelmill_optimizer_builder.domain.cost import cost_per_1k_requests
from modelmill_optimizer_builder.domain.objectives import (
    COST,
    MEMORY,
    P95,
    SIZE,
    TIMED,
    Figure,
    Load,
)

RESAMPLES = 400
CLEAR_SHARE = 0.10
"""Repeats that differ by less do not contradict each other: other load of a machine does that."""
AGREEING = 2
"""So many repeats must agree once there are three."""
LONGEST_TAIL = 0.95


@dataclass(frozen=True)
class Round:
    """Requests that were begun together, until the last one ended."""

    seconds: float
    latencies_ms: tuple[float, ...]
    first_token_ms: tuple[float, ...]


@dataclass(frozen=True)
class LoadRepeat:
    """One process that loaded the model and answered rounds of the load."""

    rounds: tuple[Round, ...]
    alone_ms: tuple[float, ...]
    """Latencies of requests with none beside them; empty where the load is one request."""
    memory_mb: float

    def as_json(self) -> dict[str, Any]:
        """Plain values, as a child sends them."""
        return asdict(self)

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> "LoadRepeat":
        """From what a child sent."""
        rounds = tuple(
            Round(one["seconds"], tuple(one["latencies_ms"]), tuple(one["first_token_ms"]))
            for one in found["rounds"]
        )
        return cls(rounds, tuple(found["alone_ms"]), found["memory_mb"])


def figures_of(
    repeats: Sequence[LoadRepeat], load: Load, *, size_mb: float, price_per_hour: float | None
) -> dict[str, Figure]:
    """Every figure with its interval: rounds of all repeats are resampled together, and the
    interval of each repeat is held, since processes differ by more than their rounds. So what is
    beyond an objective with its whole interval stays there, whichever repeat is right.

    Args:
        price_per_hour: Of the machine; None gives no cost.
    """
    memory = [repeat.memory_mb for repeat in repeats]
    figures = {name: _figure(repeats, _value_of(name, load)) for name in TIMED}
    figures[P95] = _bounded_by_alone(figures[P95], repeats)
    figures[SIZE] = Figure.exact(size_mb)
    figures[MEMORY] = Figure(statistics.median(memory), min(memory), max(memory))
    if price_per_hour is not None:
        figures[COST] = _figure(repeats, lambda rounds: _cost(rounds, price_per_hour))
    return figures


def _figure(repeats: Sequence[LoadRepeat], value_of: Callable[[Sequence[Round]], float]) -> Figure:
    pooled = _resampled([one for repeat in repeats for one in repeat.rounds], value_of)
    each = [_resampled(repeat.rounds, value_of) for repeat in repeats]
    low, high = min(one.low for one in each), max(one.high for one in each)
    return Figure(pooled.value, min(pooled.low, low), max(pooled.high, high))


def _bounded_by_alone(figure: Figure, repeats: Sequence[LoadRepeat]) -> Figure:
    """A latency whose interval holds that of a request with none beside it, if that is longer."""
    return replace(figure, high=max(figure.high, *_alone(repeats), 0.0))


def _alone(repeats: Sequence[LoadRepeat]) -> list[float]:
    return [statistics.median(repeat.alone_ms) for repeat in repeats if repeat.alone_ms]


def contradictions(repeats: Sequence[LoadRepeat], load: Load) -> dict[str, str]:
    """Figures that the repeats do not agree on, and what they say of it.

    Two repeats contradict each other where their intervals lie apart by more than `CLEAR_SHARE`.
    With a third one, two that agree settle it; its interval is that of all of them.
    """
    found = {}
    for name in TIMED:
        each = [_resampled(repeat.rounds, _value_of(name, load)) for repeat in repeats]
        if len(each) > 1 and _most_alike(each) < min(AGREEING, len(each)):
            values = ", ".join(f"{one.value:.4g}" for one in each)
            found[name] = f"repeats gave {values}, beyond their intervals"
    alone = _alone(repeats)
    beside = [_latency(repeat.rounds) for repeat in repeats if repeat.alone_ms]
    if alone and min(alone) > (1 + CLEAR_SHARE) * max(beside):
        found[P95] = (
            f"a request alone took {min(alone):.4g} ms, one of {load.in_flight} together "
            f"{max(beside):.4g} ms"
        )
    if "tokens_per_s" in found:
        found[COST] = found["tokens_per_s"]
    return found


def _most_alike(figures: Sequence[Figure]) -> int:
    """How many agree with the one that most agree with."""
    return max(sum(_agree(one, other) for other in figures) for one in figures)


def _agree(one: Figure, other: Figure) -> bool:
    near = abs(one.value - other.value) <= CLEAR_SHARE * min(one.value, other.value)
    return near or one.overlaps(other)


def _value_of(name: str, load: Load) -> Callable[[Sequence[Round]], float]:
    if name == "tokens_per_s":
        return lambda rounds: load.output_tokens * _requests(rounds) / _seconds(rounds)
    if name == "first_token_ms":
        return lambda rounds: statistics.median(
            value for one in rounds for value in one.first_token_ms
        )
    return lambda rounds: quantile(
        [value for one in rounds for value in one.latencies_ms], LONGEST_TAIL
    )


def _cost(rounds: Sequence[Round], price_per_hour: float) -> float:
    return cost_per_1k_requests(price_per_hour, _requests(rounds) / _seconds(rounds))


def _requests(rounds: Sequence[Round]) -> int:
    return sum(len(one.latencies_ms) for one in rounds)


def _seconds(rounds: Sequence[Round]) -> float:
    return sum(one.seconds for one in rounds)


def _latency(rounds: Sequence[Round]) -> float:
    return statistics.median(value for one in rounds for value in one.latencies_ms)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed, between two where it falls so."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _resampled(rounds: Sequence[Round], value_of: Callable[[Sequence[Round]], float]) -> Figure:
    """A figure of rounds with its 95 % interval, by the bootstrap over rounds."""
    generator = random.Random(0)
    drawn = [value_of(generator.choices(rounds, k=len(rounds))) for _ in range(RESAMPLES)]
    return Figure(value_of(rounds), quantile(drawn, 0.025), quantile(drawn, 0.975))
