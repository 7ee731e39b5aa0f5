"""The whole way of requests, in SimPy: gateway, moderation, the engines' queues, engines.

Requests go to the replica with the fewest in flight, as the gateway sends them. Where replicas may
be lost or an autoscaler works, a request of a lost replica is asked again at another one, with what
was generated as part of its prompt.
"""

import math
import random
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import simpy

from modelmill_capacity.engine import SimulatedEngine, SimulatedRequest
from modelmill_capacity.measurements import EngineTimes, ServiceTimes
from modelmill_capacity.offered_load import OfferedRequest, Rate, RequestLengths, poisson

RETRY_SECONDS = 0.05
HOUR = 3600.0
MOST_RELAYING = 0.95
"""Share of cores that relay tokens, up to which a queue is simulated."""


@dataclass(frozen=True)
class Station:
    """A service in front of the engines, with so many cores in all."""

    times: ServiceTimes
    cores: int

    def seconds(self, rate: float, output_tokens: float) -> float:
        """Of a request, on a core that also relays the tokens of others' answers."""
        relaying = rate * output_tokens * self.times.token_seconds / self.cores
        return self.times.request_seconds / (1 - min(relaying, MOST_RELAYING))


@dataclass(frozen=True)
class ScalingRule:
    """The autoscaler: as many replicas as hold the requests in flight of each near a target."""

    in_flight: float
    """Of one replica."""
    most: int
    least: int = 1
    interval_seconds: float = 15.0
    stabilization_seconds: float = 300.0
    """A replica goes only when none was needed for so long (Kubernetes' stabilization window)."""
    tolerance: float = 0.1

    def wanted(self, in_flight: int, ready: int, present: int) -> int:
        """How many there should be."""
        ratio = in_flight / max(1, ready) / self.in_flight
        if abs(ratio - 1) <= self.tolerance:
            return present
        return max(self.least, min(self.most, math.ceil(ready * ratio)))


@dataclass(frozen=True)
class Installation:
    """What answers."""

    engine: EngineTimes
    replicas: int
    stations: Sequence[Station] = ()
    losses_per_hour: float = 0.0
    """Of each replica, as of spot machines that are taken away; another one is started."""
    scaling: ScalingRule | None = None
    losses_at: Sequence[float] = ()
    """Times at which the oldest replica is lost."""


@dataclass
class SimulatedRun:
    """What became of the requests of one run."""

    requests: list[SimulatedRequest]
    engine_seconds: float
    """That engines were there, and below that they computed."""
    busy_seconds: float
    losses: int = 0
    replicas: list[tuple[float, int]] = field(default_factory=list)
    """Time, and how many were ready from then on."""

    def latencies(self, begin: float = 0.0, end: float = math.inf) -> list[float]:
        """Seconds of those that arrived between, and were answered."""
        return [
            it.ended - it.arrived
            for it in self.requests
            if it.ended is not None and begin <= it.arrived < end
        ]

    def first_tokens(self, begin: float = 0.0, end: float = math.inf) -> list[float]:
        """Seconds to the first token of those that arrived between."""
        return [
            it.first_token - it.arrived
            for it in self.requests
            if it.first_token is not None and begin <= it.arrived < end
        ]

    def throughput(self, begin: float, end: float) -> float:
        """Answers a second that ended between."""
        ended = sum(it.ended is not None and begin <= it.ended < end for it in self.requests)
        return ended / (end - begin)

    @property
    def refused(self) -> int:
        """Requests for which there was no room."""
        return sum(it.refused for it in self.requests)


def simulate(
    installation: Installation,
    lengths: RequestLengths,
    rate: float | Rate,
    *,
    seconds: float,
    highest: float | None = None,
    seed: int = 0,
) -> SimulatedRun:
    """Offer requests for so long, and see them all to their ends.

    Args:
        rate: of arrivals, or one that changes; then `highest` is needed.
        seed: runs of one seed are equal.
    """
    if callable(rate):
        if highest is None:
            raise ValueError("a rate that changes needs `highest`")
        changing, most = rate, highest
    else:
        fixed = rate
        changing, most = (lambda _now: fixed), fixed
    draws = random.Random(seed)
    offered = (
        OfferedRequest(at, lengths.draw_output(draws))
        for at in poisson(random.Random(draws.random()), changing, most, seconds)
    )
    return _Simulation(installation, lengths, most, draws).run(offered)


def simulate_trace(
    installation: Installation, lengths: RequestLengths, trace: Sequence[OfferedRequest]
) -> SimulatedRun:
    """Offer the requests of a recorded run at their times, and see them all to their ends."""
    rate = len(trace) / trace[-1].at
    return _Simulation(installation, lengths, rate, random.Random(0)).run(trace)


class _Simulation:
    def __init__(
        self,
        installation: Installation,
        lengths: RequestLengths,
        highest: float,
        draws: random.Random,
    ) -> None:
        self._it = installation
        self._lengths = lengths
        self._draws = draws
        self._env = simpy.Environment()
        self._stations = [
            (
                simpy.Resource(self._env, station.cores),
                station.seconds(highest, lengths.output_tokens),
            )
            for station in installation.stations
        ]
        self._engines: list[SimulatedEngine] = []
        self._gone: list[SimulatedEngine] = []
        self._starting = 0
        self._engine_seconds = 0.0
        self._since = 0.0
        self._homeless: list[SimulatedRequest] = []
        self._unanswered = 0
        self._run = SimulatedRun([], 0.0, 0.0)

    def run(self, offered: Iterable[OfferedRequest]) -> SimulatedRun:
        """The whole run."""
        for _ in range(self._it.replicas):
            self._start()
        over = self._env.process(self._arrive(offered))
        for at in self._it.losses_at:
            self._env.process(self._lose_at(at))
        if self._it.scaling is not None:
            self._env.process(self._scale(self._it.scaling))
        self._env.run(over)
        while self._unanswered and self._env.peek() < math.inf:
            self._env.step()
        self._count()
        self._run.engine_seconds = self._engine_seconds
        self._run.busy_seconds = sum(it.busy_seconds for it in (*self._engines, *self._gone))
        return self._run

    def _arrive(self, offered: Iterable[OfferedRequest]) -> Generator[simpy.Event, Any, None]:
        for each in offered:
            yield self._env.timeout(each.at - self._env.now)
            self._unanswered += 1
            self._env.process(self._pass(each.output_tokens))

    def _pass(self, tokens: int) -> Generator[simpy.Event, Any, None]:
        """One request, from its arrival to its end."""
        request = SimulatedRequest(self._lengths.prompt_tokens, tokens, self._env.now)
        request.finished = self._env.event()
        self._run.requests.append(request)
        for cores, seconds in self._stations:
            yield from self._occupy(cores, seconds)
        yield self._env.timeout(self._it.engine.overhead_seconds)
        self._route(request)
        yield request.finished
        self._unanswered -= 1

    def _occupy(self, cores: simpy.Resource, seconds: float) -> Generator[simpy.Event, Any, None]:
        """Take a core for so long."""
        if seconds > 0:
            with cores.request() as core:
                yield core
                yield self._env.timeout(seconds)

    def _route(self, request: SimulatedRequest) -> None:
        taking = [engine for engine in self._engines if not engine.is_draining]
        if not taking:
            self._homeless.append(request)
            return
        engine = min(taking, key=lambda each: each.in_flight)
        if not engine.submit(request):
            request.refused = True
            assert request.finished is not None
            request.finished.succeed()

    def _start(self) -> None:
        self._count()
        lengths = self._lengths
        room = lengths.prompt_tokens + lengths.longest_output
        engine = SimulatedEngine(self._env, self._it.engine, room)
        self._engines.append(engine)
        self._note()
        if self._it.losses_per_hour:
            self._env.process(self._lose_some_time(engine))
        homeless, self._homeless = self._homeless, []
        for request in homeless:
            self._route(request)

    def _start_later(self) -> Generator[simpy.Event, Any, None]:
        self._starting += 1
        yield self._env.timeout(self._it.engine.start_seconds)
        self._starting -= 1
        self._start()

    def _remove(self, engine: SimulatedEngine) -> None:
        self._count()
        self._engines.remove(engine)
        self._gone.append(engine)
        self._note()

    def _lose_some_time(self, engine: SimulatedEngine) -> Generator[simpy.Event, Any, None]:
        yield self._env.timeout(self._draws.expovariate(self._it.losses_per_hour / HOUR))
        if engine in self._engines:
            yield from self._lose(engine)

    def _lose_at(self, at: float) -> Generator[simpy.Event, Any, None]:
        yield self._env.timeout(at)
        if self._engines:
            yield from self._lose(self._engines[0])

    def _lose(self, engine: SimulatedEngine) -> Generator[simpy.Event, Any, None]:
        unfinished = engine.lose()
        self._remove(engine)
        self._run.losses += 1
        self._env.process(self._start_later())
        yield self._env.timeout(RETRY_SECONDS)
        for request in unfinished:
            self._route(request)

    def _scale(self, rule: ScalingRule) -> Generator[simpy.Event, Any, None]:
        wanted_before = [(self._env.now, self._it.replicas)]
        while True:
            yield self._env.timeout(rule.interval_seconds)
            ready = [engine for engine in self._engines if not engine.is_draining]
            present = len(ready) + self._starting
            in_flight = sum(engine.in_flight for engine in ready) + len(self._homeless)
            wanted = rule.wanted(in_flight, len(ready), present)
            oldest = self._env.now - rule.stabilization_seconds
            wanted_before = [(at, it) for at, it in wanted_before if at > oldest]
            wanted_before.append((self._env.now, wanted))
            for _ in range(wanted - present):
                self._env.process(self._start_later())
            stabilized = max(it for _, it in wanted_before)
            for engine in ready[: max(0, len(ready) - max(stabilized, rule.least))]:
                engine.is_draining = True
            for engine in [it for it in self._engines if it.is_draining and not it.in_flight]:
                self._remove(engine)

    def _note(self) -> None:
        self._run.replicas.append((self._env.now, len(self._engines)))

    def _count(self) -> None:
        self._engine_seconds += len(self._engines) * (self._env.now - self._since)
        self._since = self._env.now


def p95(series: Sequence[float]) -> float:
    """Of two values at least."""
    return quantiles(series, n=20, method="inclusive")[-1]
