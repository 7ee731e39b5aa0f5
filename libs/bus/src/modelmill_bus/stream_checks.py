"""Checks of a running broker and its streams."""

from collections.abc import Iterator
from typing import Protocol

from modelmill_service_kit.checks import Check, FindingSeverity, Symptom

from modelmill_bus.inspection import BrokerState, InspectedStream
from modelmill_bus.stream_schemas import schema_problem
from modelmill_bus.subjects import STREAMS, Stream

FULL_SHARE = 0.8
"""Of a stream's room: from here on there is time to do something."""
MOST_SKEW_SECONDS = 2.0


class InspectedBus(Protocol):
    """What checks of a broker and its streams read."""

    @property
    def broker(self) -> BrokerState | None: ...

    @property
    def broker_problem(self) -> str:
        """Why the broker could not be asked; else empty."""


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def _broker(it: InspectedBus) -> Iterator[BrokerState]:
    if it.broker is not None:
        yield it.broker


def _streams(it: InspectedBus) -> Iterator[tuple[Stream, InspectedStream]]:
    """Streams of the table that are there."""
    for broker in _broker(it):
        for stream in STREAMS:
            state = broker.streams.get(stream.name)
            if state is not None:
                yield stream, state


def unreachable(it: InspectedBus) -> Iterator[Symptom]:
    """A broker that does not answer, or does not let us in."""
    if it.broker_problem:
        yield Symptom(
            it.broker_problem,
            "See the broker's lines in up.log; `mill up` starts one that ended again by itself",
        )


def missing(it: InspectedBus) -> Iterator[Symptom]:
    """Streams that nobody made, or that somebody deleted."""
    for broker in _broker(it):
        if gone := [name for name, state in broker.streams.items() if state is None]:
            yield Symptom(
                f"the broker has no streams {', '.join(gone)}",
                "Restore them with `mill state import`, or start `mill up` anew, which makes them"
                " empty",
            )


def nearly_full(it: InspectedBus) -> Iterator[Symptom]:
    """Streams that will refuse what is new."""
    for stream, state in _streams(it):
        share = state.used_bytes / state.limit_bytes if state.limit_bytes else 0.0
        if share >= FULL_SHARE and not stream.lossy:
            yield Symptom(
                f"stream {stream.name} is {share:.0%} full"
                f" ({_megabytes(state.used_bytes)} of {_megabytes(state.limit_bytes)})",
                f"Give it more room: nats stream edit {stream.name}"
                f" --max-bytes={2 * state.limit_bytes}",
            )


def in_memory(it: InspectedBus) -> Iterator[Symptom]:
    """Streams that end with the broker."""
    for stream, state in _streams(it):
        if state.is_in_memory:
            yield Symptom(
                f"stream {stream.name} is kept in memory, and gone when the broker ends",
                "Export with `mill state export`, import into an empty state folder, and use that",
            )


def forgets_oldest(it: InspectedBus) -> Iterator[Symptom]:
    """Streams that drop records when they are full."""
    for stream, state in _streams(it):
        if state.drops_oldest and not stream.lossy:
            yield Symptom(
                f"stream {stream.name} drops its oldest records when it is full",
                f"Change it: nats stream edit {stream.name} --discard=new",
            )


def too_small(it: InspectedBus) -> Iterator[Symptom]:
    """Streams with less room than they are made with."""
    for stream, state in _streams(it):
        if 0 < state.limit_bytes < stream.max_bytes:
            yield Symptom(
                f"stream {stream.name} may hold {_megabytes(state.limit_bytes)}, and is made for"
                f" {_megabytes(stream.max_bytes)}",
                f"Change it: nats stream edit {stream.name} --max-bytes={stream.max_bytes}",
            )


def without_subjects(it: InspectedBus) -> Iterator[Symptom]:
    """Streams that do not take all of what is written to them."""
    for stream, state in _streams(it):
        if lacking := sorted(set(stream.taken) - state.subjects):
            yield Symptom(
                f"stream {stream.name} does not take {', '.join(lacking)}",
                "Start `mill up` anew, or run `python -m modelmill_bus.deploy`, which adds them",
            )


def other_schema(it: InspectedBus) -> Iterator[Symptom]:
    """Streams that another release upgraded, or has to."""
    for stream, state in _streams(it):
        if problem := schema_problem(stream, state.schema):
            yield Symptom(*problem)


def clock_skew(it: InspectedBus) -> Iterator[Symptom]:
    """The broker's clock beside this one."""
    for broker in _broker(it):
        if abs(broker.ahead_seconds) > MOST_SKEW_SECONDS:
            side = "ahead of" if broker.ahead_seconds > 0 else "behind"
            yield Symptom(
                f"the broker's clock is {abs(broker.ahead_seconds):.1f} s {side} this machine's",
                "Let NTP keep the clocks of all machines: claims, tokens and certificates go by it",
            )


CHECKS = (
    Check("broker-unreachable", FindingSeverity.ERROR, "the broker answers", unreachable),
    Check("stream-missing", FindingSeverity.ERROR, "it has every stream", missing),
    Check("stream-full", FindingSeverity.WARNING, "no stream is 80 % full", nearly_full),
    Check("stream-memory", FindingSeverity.ERROR, "streams are on the disk", in_memory),
    Check("stream-discard", FindingSeverity.ERROR, "full ones keep what they have", forgets_oldest),
    Check(
        "stream-limit", FindingSeverity.WARNING, "each has the room that it is made with", too_small
    ),
    Check(
        "stream-subjects", FindingSeverity.ERROR, "each takes all of its subjects", without_subjects
    ),
    Check("stream-schema", FindingSeverity.ERROR, "each has the known schema", other_schema),
    Check("clock-skew", FindingSeverity.ERROR, "the broker's clock is within 2 s", clock_skew),
)
