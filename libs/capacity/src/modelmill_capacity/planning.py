"""How many replicas of each service a load takes, for a bound on the p95 of answers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from modelmill_service_kit.errors import PreconditionError

from modelmill_capacity.measurements import EngineTimes, Measurements, ServiceTimes
from modelmill_capacity.offered_load import RequestLengths
from modelmill_capacity.simulation import Installation, Station, p95, simulate

MOST_LOAD = 0.95
"""Share of the engines' capacity up to which anything is planned."""
MOST_CORES_BUSY = 0.7
"""Share of the cores of gateway and moderation that may be busy."""
CELL = 16
"""Replicas that are simulated at most, with their share of the requests: each stands for others."""
REQUESTS = 4000
"""In a simulation, after a warm-up."""
WARM_UP_SHARE = 0.2
LEAST_WARM_UP_ANSWERS = 3
"""Durations of an idle engine's longest answer, for the batch to fill."""
NEAR_ENOUGH = 0.01
"""Replicas that a plan may have beyond the fewest, as a share."""
HOUR = 3600.0


class InfeasibleError(PreconditionError):
    """No number of replicas reaches the aim; the message has the bound."""

    reason = "INFEASIBLE"


@dataclass(frozen=True)
class CapacityAim:
    """What is to be served."""

    requests_per_second: float
    p95_seconds: float
    lengths: RequestLengths


@dataclass(frozen=True)
class ServicePlan:
    """Replicas of one service."""

    name: str
    replicas: int
    utilisation: float
    """Share of what they could do that the load takes."""


@dataclass(frozen=True)
class CapacityPlan:
    """What it takes, and what is expected of it."""

    form: str
    services: tuple[ServicePlan, ...]
    p95_seconds: float
    first_token_seconds: float
    """Median."""
    first_token_p95_seconds: float
    bottleneck: str
    cost_per_hour: float | None
    cost_per_thousand: float | None
    marks: tuple[str, ...]
    """What of it rests on no validated measurement."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "form": self.form,
            "services": {
                it.name: {"replicas": it.replicas, "utilisation": round(it.utilisation, 4)}
                for it in self.services
            },
            "p95_ms": round(self.p95_seconds * 1e3, 1),
            "first_token_ms": round(self.first_token_seconds * 1e3, 1),
            "first_token_p95_ms": round(self.first_token_p95_seconds * 1e3, 1),
            "bottleneck": self.bottleneck,
            "cost_per_hour": _rounded(self.cost_per_hour),
            "cost_per_thousand_requests": _rounded(self.cost_per_thousand),
            "marks": [*self.marks],
        }


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)


def idle_seconds(engine: EngineTimes, lengths: RequestLengths, share: float = 0.95) -> float:
    """What an idle installation takes for an answer that is longer than this share of answers."""
    prompt = lengths.prompt_tokens
    chunks = math.ceil(prompt / engine.chunk_tokens)
    steps = chunks + lengths.output_at(share) - 1
    computed = steps * engine.step_seconds(1) + prompt * engine.prompt_token_seconds
    return engine.overhead_seconds + computed


def slots_of(engine: EngineTimes, lengths: RequestLengths) -> int:
    """Answers side by side, where room is held for the longest.

    Raises:
        InfeasibleError: not even one fits.
    """
    room = lengths.prompt_tokens + lengths.longest_output
    if room > engine.tokens:
        raise InfeasibleError(
            f"a request may come to {room} tokens, and {engine.form} holds {engine.tokens}. "
            "Plan for shorter prompts or answers, or for another form"
        )
    return min(engine.sequences, engine.tokens // room)


def capacity_of(engine: EngineTimes, lengths: RequestLengths) -> float:
    """Requests a second of a replica that is always full."""
    slots = slots_of(engine, lengths)
    decoding = lengths.output_tokens * engine.step_seconds(slots) / slots
    return 1 / (decoding + lengths.prompt_tokens * engine.prompt_token_seconds)


def cores_of(times: ServiceTimes, lengths: RequestLengths) -> float:
    """Core seconds of one request."""
    return times.request_seconds + lengths.output_tokens * times.token_seconds


def plan(
    aim: CapacityAim,
    measurements: Measurements,
    *,
    form: str | None = None,
    price_per_hour: float | None = None,
) -> CapacityPlan:
    """The fewest replicas with which 95 of 100 answers end in time.

    Args:
        form: the first of the measurements without one.
        price_per_hour: of a replica of inference, its engine included.

    Raises:
        InfeasibleError: no number of replicas is enough.
        NotFoundError: there are no measurements of the form.
    """
    engine = measurements.engine(form)
    _check_reach(aim, engine)
    stations = [_station(times, aim) for times in measurements.services]
    search = _Search(aim, engine, stations)
    found = search.fewest()
    load = search.load(found.replicas)
    services = [
        *(_service_plan(station, aim) for station in stations),
        ServicePlan("inference", found.replicas, load),
    ]
    hourly = None if price_per_hour is None else price_per_hour * found.replicas
    return CapacityPlan(
        form=engine.form,
        services=tuple(services),
        p95_seconds=found.p95,
        first_token_seconds=found.first_token,
        first_token_p95_seconds=found.first_token_p95,
        bottleneck=_bottleneck(services, engine, aim.lengths, load),
        cost_per_hour=hourly,
        cost_per_thousand=None if hourly is None else _per_thousand(hourly, aim),
        marks=tuple(marks_of(measurements.services, engine, aim.lengths, load)),
    )


def _per_thousand(hourly: float, aim: CapacityAim) -> float:
    return hourly / (aim.requests_per_second * HOUR / 1000)


def _check_reach(aim: CapacityAim, engine: EngineTimes) -> None:
    slots_of(engine, aim.lengths)
    idle = idle_seconds(engine, aim.lengths)
    if idle > aim.p95_seconds:
        raise InfeasibleError(
            f"a p95 of {aim.p95_seconds * 1e3:,.0f} ms is out of reach: an idle {engine.form} "
            f"takes {idle * 1e3:,.0f} ms. "
            "Allow that and more, or plan for shorter answers or another form"
        )


def marks_of(
    services: Sequence[ServiceTimes], engine: EngineTimes, lengths: RequestLengths, load: float
) -> Iterator[str]:
    """What nothing measured stands behind."""
    for service in services:
        if service.origin == "assumed":
            yield f"assumed: {service.name} was not measured ({service.source})"
    if engine.origin == "assumed":
        yield f"assumed: {engine.form} on {engine.machine} was not measured ({engine.source})"
    elif load > engine.validated_load:
        yield (
            f"not validated: engines at {load:.2f} of their capacity, and simulation and "
            f"measurement were compared up to {engine.validated_load:.2f}"
        )
    if engine.origin == "measured":
        for what, asked, measured in (
            ("prompts", lengths.prompt_tokens, engine.prompt_tokens),
            ("answers", lengths.output_tokens, engine.output_tokens),
        ):
            if asked > measured:
                yield f"extrapolated: {what} of {asked} tokens, and {measured} were measured"
    slots, largest = slots_of(engine, lengths), engine.steps[-1].batch
    if slots > largest:
        yield f"extrapolated: {slots} answers side by side, and steps are known up to {largest}"


def station_cores(times: ServiceTimes, rate: float, lengths: RequestLengths) -> int:
    """Replicas of a service at which its cores are busy for no more than is good."""
    busy = rate * cores_of(times, lengths)
    return max(1, math.ceil(busy / MOST_CORES_BUSY / times.cores))


def _station(times: ServiceTimes, aim: CapacityAim) -> Station:
    replicas = station_cores(times, aim.requests_per_second, aim.lengths)
    return Station(times, replicas * times.cores)


def _service_plan(station: Station, aim: CapacityAim) -> ServicePlan:
    busy = aim.requests_per_second * cores_of(station.times, aim.lengths)
    replicas = station.cores // station.times.cores
    return ServicePlan(station.times.name, replicas, busy / station.cores)


def _bottleneck(
    services: Sequence[ServicePlan], engine: EngineTimes, lengths: RequestLengths, load: float
) -> str:
    """The service that takes the most replicas; of inference, what keeps it from doing more."""
    largest = max(reversed(services), key=lambda each: each.replicas)
    if largest.name != "inference":
        return f"{largest.name}: processor"
    if load < MOST_LOAD * services[-1].replicas / (services[-1].replicas + 1):
        return f"inference: fuller engines would answer too late (at {load:.2f} of their capacity)"
    if slots_of(engine, lengths) < engine.sequences:
        return "inference: tokens that the cache holds"
    prompts = lengths.prompt_tokens * engine.prompt_token_seconds * capacity_of(engine, lengths)
    return "inference: computing prompts" if prompts > 0.5 else "inference: generating"


@dataclass(frozen=True)
class _Found:
    replicas: int
    p95: float
    first_token: float
    first_token_p95: float


class _Search:
    """Finds the fewest replicas; the more there are, the sooner answers end."""

    def __init__(self, aim: CapacityAim, engine: EngineTimes, stations: Sequence[Station]) -> None:
        self._aim = aim
        self._engine = engine
        self._stations = stations
        self._capacity = capacity_of(engine, aim.lengths)

    def load(self, replicas: int) -> float:
        """Share of the engines' capacity that the requests take."""
        return self._aim.requests_per_second / (replicas * self._capacity)

    def fewest(self) -> _Found:
        """By steps that double until it is enough, then between the last two."""
        least = math.ceil(self._aim.requests_per_second / self._capacity / MOST_LOAD)
        low, high, step = least - 1, least, 1
        while not self._suffices(found := self._simulated(high)):
            if self.load(high) < 1 / REQUESTS:
                raise InfeasibleError(
                    f"{high} replicas do not reach the aim: p95 {found.p95 * 1e3:,.0f} ms. "
                    "Allow more time, or plan for shorter answers or another form"
                )
            low, high, step = high, high + step, 2 * step
        while high - low > max(1, NEAR_ENOUGH * high):
            middle = (low + high) // 2
            if self._suffices(tried := self._simulated(middle)):
                high, found = middle, tried
            else:
                low = middle
        return found

    def _suffices(self, found: _Found) -> bool:
        return found.p95 <= self._aim.p95_seconds

    def _simulated(self, replicas: int) -> _Found:
        cell = min(replicas, CELL)
        share = cell / replicas
        rate = self._aim.requests_per_second * share
        stations = [Station(it.times, max(1, math.ceil(it.cores * share))) for it in self._stations]
        idle = idle_seconds(self._engine, self._aim.lengths, share=1.0)
        warm_up = max(LEAST_WARM_UP_ANSWERS * idle, WARM_UP_SHARE * REQUESTS / rate)
        seconds = warm_up + REQUESTS / rate
        run = simulate(
            Installation(self._engine, cell, stations), self._aim.lengths, rate, seconds=seconds
        )
        if run.refused:
            return _Found(replicas, math.inf, math.inf, math.inf)
        first = run.first_tokens(warm_up)
        return _Found(replicas, p95(run.latencies(warm_up)), median(first), p95(first))
