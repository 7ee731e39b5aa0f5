"""The report at scale: 10,000 requests a second, and 1,000 GPUs.

`python -m modelmill_capacity.scale_report FOLDER` writes its page and plots, in Markdown and SVG.
Of the same measurements it always writes the same.
"""

import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelmill_capacity.measurements import BatchStep, EngineTimes, Measurements, ServiceTimes
from modelmill_capacity.offered_load import RequestLengths
from modelmill_capacity.planning import (
    MOST_CORES_BUSY,
    CapacityAim,
    CapacityPlan,
    capacity_of,
    cores_of,
    plan,
)
from modelmill_capacity.plots import Curve, Plot
from modelmill_capacity.simulation import (
    Installation,
    ScalingRule,
    SimulatedRun,
    p95,
    simulate,
)

PAGE = "capacity-at-scale.md"
RATE, GPUS = 10_000.0, 1_000
GPU_FORM = "safetensors"
PRICE = 2.5
"""Assumed, of a GPU an hour."""
AIMS = (3.5, 4.0, 5.0, 8.0)
"""Seconds in which 95 of 100 answers end."""
LOADS = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 1.0, 1.1)
DELAYS = (30.0, 120.0, 300.0)
"""Until a new replica answers."""
DEFAULTS = {
    "components.inference.scaling.max": 4,
    "components.gateway.scaling.max": 4,
    "INFERENCE_MAX_IN_FLIGHT": 512,
    "GATEWAY_TOKENS_IN_HAND": 1_000_000,
    "GATEWAY_MAX_CONNECTIONS": 10_000,
}
"""Of the chart and of services; a test compares them."""
USAGE_BYTES = 256 * 1024**2
"""That the stream holds; a test compares it, and what one request takes."""
USAGE_RECORD_BYTES = 280
CELL, SPOT_CELL = 3, 6
"""Replicas of the simulated part, where load or replicas change."""
GROWS_AT, GROWN_AT, ENDS_AT, BUCKET = 120.0, 180.0, 600.0, 20.0
LOST_AT, LOST_ENDS_AT = 60.0, 260.0


def write(folder: Path, measurements: Measurements) -> None:
    """Write page and plots."""
    report = ScaleReport(measurements)
    for name, plot in report.plots().items():
        (folder / name).write_text(plot.svg(), encoding="utf-8")
    (folder / PAGE).write_text(report.markdown(), encoding="utf-8")


@dataclass(frozen=True)
class _Limit:
    """Something that bounds an installation; too low at this scale, or not."""

    name: str
    default: int
    wanted: float
    why: str

    @property
    def now(self) -> str:
        return f"{self.default:,}"

    @property
    def is_too_low(self) -> bool:
        return self.wanted > self.default


class ScaleReport:
    """All figures of it."""

    def __init__(self, measurements: Measurements) -> None:
        self._known = measurements
        self._gpu = measurements.engine(GPU_FORM)
        self._lengths = RequestLengths(self._gpu.prompt_tokens, self._gpu.output_tokens)
        self._plans = {aim: self._plan(RATE, aim) for aim in AIMS}

    def _plan(self, rate: float, aim: float) -> CapacityPlan:
        asked = CapacityAim(rate, aim, self._lengths)
        return plan(asked, self._known, form=GPU_FORM, price_per_hour=PRICE)

    def plots(self) -> dict[str, Plot]:
        """By the names of their files."""
        return {
            "capacity-by-load.svg": self._by_load(),
            "capacity-gpus.svg": self._gpus_by_aim(),
            "capacity-scaling.svg": self._scaling(),
            "capacity-losses.svg": self._losses(),
        }

    def _by_load(self) -> Plot:
        """The first form, and from where on nothing was compared."""
        engine = self._known.engines[0]
        lengths = RequestLengths(engine.prompt_tokens, engine.output_tokens)
        capacity = capacity_of(engine, lengths)
        answers, first = [], []
        for load in LOADS:
            rate = load * capacity
            run = simulate(Installation(engine, 1), lengths, rate, seconds=1500 / rate)
            answers.append((load, p95(run.latencies(300 / rate))))
            first.append((load, p95(run.first_tokens(300 / rate))))
        return Plot(
            f"{engine.form}, {engine.model}: one replica",
            "offered, as a share of its capacity",
            "seconds",
            (Curve("p95 of answers", answers), Curve("p95 of first token", first)),
            shaded_from=max(engine.validated_load, LOADS[0]),
            shade="not validated",
        )

    def _gpus_by_aim(self) -> Plot:
        points = [(aim, float(_gpus(found))) for aim, found in self._plans.items()]
        return Plot(
            "10,000 requests/s: GPUs by the p95 that is wanted (assumed service times)",
            "p95 of answers, seconds",
            "GPUs",
            (Curve("GPUs", points),),
        )

    def _scaling(self) -> Plot:
        """A load that doubles within a minute."""
        capacity = capacity_of(self._gpu, self._lengths)
        before = 0.6 * CELL * capacity
        held = self._held_at(0.6)

        def rate(now: float) -> float:
            grown = min(1.0, max(0.0, (now - GROWS_AT) / (GROWN_AT - GROWS_AT)))
            return before * (1 + grown)

        curves = []
        for delay in DELAYS:
            engine = self._gpu.model_copy(update={"start_seconds": delay})
            rule = ScalingRule(in_flight=held, most=4 * CELL)
            run = simulate(
                Installation(engine, CELL, scaling=rule),
                self._lengths,
                rate,
                seconds=ENDS_AT,
                highest=2 * before,
            )
            curves.append(Curve(f"{delay:.0f} s to start", _p95s(run, ENDS_AT)))
        return Plot(
            "the load doubles from 120 s to 180 s: p95 by a replica's time to start",
            "seconds",
            "p95, seconds",
            curves,
        )

    def _losses(self) -> Plot:
        """A spot machine that is taken away, at several loads."""
        capacity = SPOT_CELL * capacity_of(self._gpu, self._lengths)
        it = Installation(self._gpu, SPOT_CELL, losses_at=(LOST_AT,))
        curves = []
        for load in (0.5, 0.7, 0.85):
            run = simulate(it, self._lengths, load * capacity, seconds=LOST_ENDS_AT)
            curves.append(Curve(f"at {load:g} of capacity", _p95s(run, LOST_ENDS_AT)))
        return Plot(
            f"one of {SPOT_CELL} replicas is lost at {LOST_AT:.0f} s, another one ready "
            f"after {self._gpu.start_seconds:.0f} s",
            "seconds",
            "p95, seconds",
            curves,
        )

    def _held_at(self, load: float) -> float:
        """Requests in flight of a replica at a load: rate times time (Little)."""
        rate = load * capacity_of(self._gpu, self._lengths)
        run = simulate(Installation(self._gpu, 1), self._lengths, rate, seconds=1500 / rate)
        latencies = run.latencies(300 / rate)
        return max(1.0, rate * sum(latencies) / len(latencies))

    def markdown(self) -> str:
        """The page."""
        parts = (
            *(self._introduction(), self._rate(), self._thousand()),
            *(self._in_front(), self._limits_to_raise(), self._changes()),
        )
        return "\n".join(line for part in parts for line in part)

    def _introduction(self) -> Iterator[str]:
        gpu, engine = self._gpu, self._known.engines[0]
        yield "# Capacity at scale"
        yield ""
        yield from _prose(
            "Written by `python -m modelmill_capacity.scale_report docs/reference`.",
            "A test holds it to the model.",
            "[Capacity](../how-to/capacity.md) says how to plan for your own load.",
        )
        yield from _prose(
            f"**Assumed, not measured:** {gpu.model} on {gpu.machine}, from {gpu.source}.",
            f"A step takes {', '.join(_step(it) for it in gpu.steps)};",
            f"a prompt token {gpu.prompt_token_seconds * 1e6:.0f} us.",
            f"A replica starts in {gpu.start_seconds:.0f} s and costs {PRICE:.2f} an hour.",
            f"Prompts have {gpu.prompt_tokens} tokens,",
            f"answers {self._lengths.shortest_output} to {self._lengths.longest_output}.",
        )
        yield from _prose("Gateway and moderation take:")
        yield "| service | ms of a core, a request | us, a token | origin | from |"
        yield "|---|---|---|---|---|"
        for it in self._known.services:
            yield (
                f"| {it.name} | {it.request_seconds * 1e3:.3f} | {it.token_seconds * 1e6:.1f} "
                f"| {it.origin} | {it.source} |"
            )
        yield ""
        yield "## How far the simulation is to be believed"
        yield ""
        yield from _validity(engine)
        yield "![p95 by load](capacity-by-load.svg)"
        yield ""

    def _rate(self) -> Iterator[str]:
        yield "## 10,000 requests a second"
        yield ""
        yield "| p95, s | GPUs | busy | first token p50, ms | p95, ms | an hour | 1,000 requests |"
        yield "|---|---|---|---|---|---|---|"
        for aim, found in self._plans.items():
            yield (
                f"| {aim:g} | {_gpus(found):,} | {found.services[-1].utilisation:.0%} "
                f"| {found.first_token_seconds * 1e3:.0f} "
                f"| {found.first_token_p95_seconds * 1e3:.0f} "
                f"| {found.cost_per_hour:,.0f} | {found.cost_per_thousand:.4f} |"
            )
        yield ""
        yield "![GPUs by aim](capacity-gpus.svg)"
        yield ""
        yield from _prose(
            f"Bottleneck at {AIMS[1]:g} s: {self._plans[AIMS[1]].bottleneck}.",
            "A bound on the p95 near what an idle engine takes is dear: batches must stay small.",
        )

    def _thousand(self) -> Iterator[str]:
        yield "## 1,000 GPUs"
        yield ""
        yield "| p95, s | requests/s | tokens/s | 1,000 requests |"
        yield "|---|---|---|---|"
        for aim, found in self._plans.items():
            # Replicas are alike: what one carries at an aim, a thousand carry a thousandfold.
            rate = RATE / _gpus(found) * GPUS
            cost = GPUS * PRICE / (rate * 3.6)
            tokens = rate * self._lengths.output_tokens
            yield f"| {aim:g} | {_rounded(rate)} | {_rounded(tokens)} | {cost:.4f} |"
        yield ""

    def _in_front(self) -> Iterator[str]:
        yield "## In front of the engines"
        yield ""
        for it in self._known.services:
            yield f"- {_cores(it, self._lengths)}"
        found = self._plans[AIMS[1]]
        gateways = found.services[0].replicas
        yield ""
        yield from _prose(
            "Each gateway connects to each address of inference that it is told:",
            f"{_rounded(gateways * _gpus(found))} connections in all, at {AIMS[1]:g} s.",
            "Divide such an installation into parts of some dozens of replicas.",
        )

    def _limits_to_raise(self) -> Iterator[str]:
        yield "## Limits to raise"
        yield ""
        yield "For 10,000 requests a second with a p95 of 4 s:"
        yield ""
        yield "| limit | default | wanted | why |"
        yield "|---|---|---|---|"
        limits = self._limits()
        for limit in limits:
            if limit.is_too_low:
                yield f"| {limit.name} | {limit.now} | {_rounded(limit.wanted)} | {limit.why} |"
        yield ""
        enough = [
            f"{it.name} ({_rounded(math.ceil(it.wanted))})" for it in limits if not it.is_too_low
        ]
        yield from _prose(
            f"Enough by default, for twice what is in hand at a time: {', '.join(enough)}."
        )

    def _changes(self) -> Iterator[str]:
        yield "## A load that doubles, and replicas that are lost"
        yield ""
        yield "![p95 while the autoscaler follows](capacity-scaling.svg)"
        yield ""
        yield "![p95 by lost replicas](capacity-losses.svg)"
        yield ""
        yield from _prose(
            "Requests of a lost replica are asked again at another one,",
            "and what was generated so far is then part of the prompt.",
        )

    def _limits(self) -> Sequence[_Limit]:
        found = self._plans[AIMS[1]]
        gpus, gateways = _gpus(found), found.services[0].replicas
        engine_rate = RATE / gpus
        in_flight = RATE * found.p95_seconds
        tokens = self._lengths.prompt_tokens + self._lengths.longest_output
        return (
            _known_limit(
                "components.inference.scaling.max", gpus, "replicas that an autoscaler may make"
            ),
            _known_limit(
                "components.gateway.scaling.max",
                gateways,
                f"cores of the gateway, each busy for {MOST_CORES_BUSY:.0%}",
            ),
            _Limit(
                "bytes of the stream `USAGE`",
                USAGE_BYTES,
                RATE * 3600 * USAGE_RECORD_BYTES,
                f"an hour, {USAGE_RECORD_BYTES} a request; what it refuses waits on disk",
            ),
            _known_limit("INFERENCE_MAX_IN_FLIGHT", 2 * engine_rate * found.p95_seconds),
            _known_limit("GATEWAY_TOKENS_IN_HAND", 2 * in_flight / gateways * tokens),
            _known_limit("GATEWAY_MAX_CONNECTIONS", 2 * in_flight / gateways),
        )


def _known_limit(name: str, wanted: float, why: str = "") -> _Limit:
    place = " of the chart" if name.startswith("components.") else ""
    return _Limit(f"`{name}`{place}", DEFAULTS[name], wanted, why)


def _step(it: BatchStep) -> str:
    answers = "an answer alone" if it.batch == 1 else f"{it.batch} answers"
    return f"{it.seconds * 1e3:.1f} ms for {answers}"


def _gpus(found: CapacityPlan) -> int:
    return found.services[-1].replicas


def _cores(it: ServiceTimes, lengths: RequestLengths) -> str:
    busy = RATE * cores_of(it, lengths)
    planned = math.ceil(busy / MOST_CORES_BUSY)
    relaying = lengths.output_tokens * it.token_seconds / cores_of(it, lengths)
    return (
        f"{it.name}: {_rounded(busy)} cores busy, {_rounded(planned)} planned; "
        f"{relaying:.0%} of it is the relaying of tokens"
    )


def _validity(engine: EngineTimes) -> Iterator[str]:
    if not engine.bands:
        yield from _prose(
            "It was not yet compared with a measured run: doubt every figure here.",
            f"The times of {engine.form} are {engine.origin}: {engine.source}.",
        )
        return
    yield from _prose(
        f"Of {engine.form} ({engine.model}, {engine.machine}), predicted over measured, less 1:"
    )
    yield "| load | throughput | first token p50 | p95 | p95 in its band | refused, predicted |"
    yield "|---|---|---|---|---|---|"
    for band in engine.bands:
        errors = (band.throughput_error, band.first_token_error, band.p95_error)
        cells = " | ".join(f"{error:+.1%}" for error in errors)
        lies = "yes" if band.p95_lies_in_band else "no"
        refused = f"{band.refused}, {band.predicted_refused}"
        yield f"| {band.load:.2f} | {cells} | {lies} | {refused} |"
    yield ""
    yield f"Validated up to {engine.validated_load:.2f} of the capacity; what lies beyond is grey."
    yield ""


def _prose(*sentences: str) -> Iterator[str]:
    yield textwrap.fill(" ".join(sentences), 119, break_long_words=False, break_on_hyphens=False)
    yield ""


def _rounded(value: float) -> str:
    """To three digits, which is more than is known."""
    digits = 2 - math.floor(math.log10(value)) if value else 0
    shown = 0 if value == int(value) else max(0, digits)
    return f"{round(value, digits):,.{shown}f}"


def _p95s(run: SimulatedRun, ends_at: float) -> list[tuple[float, float]]:
    """Of requests that came in each part of the time."""
    return [
        (at + BUCKET / 2, p95(run.latencies(at, at + BUCKET)))
        for at in _steps(BUCKET, ends_at, BUCKET)
    ]


def _steps(begin: float, end: float, step: float) -> Iterator[float]:
    at = begin
    while at < end:
        yield at
        at += step


if __name__ == "__main__":
    write(Path(sys.argv[1]), Measurements.load())
