"""Streams that differ from the table, and how they are brought to it: one part of an upgrade.

Nothing that a stream holds is lost by it: limits are raised and never lowered.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from modelmill_service_kit.errors import PreconditionError
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError, ServerError

from modelmill_bus.stream_schemas import with_schema
from modelmill_bus.streams import found_config, make_stream, stream_config, wanted_subjects
from modelmill_bus.subjects import STREAMS, Stream

NEVER_CHANGED = ("storage", "retention")
"""No broker changes them of a stream that exists."""
LIMITS = ("max_bytes", "max_age", "max_msgs", "max_msgs_per_subject")
"""Not above 0: without a limit."""
COMPARED = (*LIMITS, "duplicate_window", "subjects", "discard", "allow_direct", "allow_msg_ttl")


@dataclass(frozen=True)
class StreamChange:
    """A stream that is missing, or differs from the table."""

    stream: Stream
    config: api.StreamConfig | None
    """What it becomes; None for one that is to be made."""
    words: str
    """What differs, for people."""


async def stream_changes(js: JetStreamContext) -> list[StreamChange]:
    """What is to be changed, so that each stream is as the table has it; nothing is changed yet.

    Raises:
        PreconditionError: something differs that cannot be changed.
    """
    changes = []
    for stream in STREAMS:
        found = await found_config(js, stream.name)
        if found is None:
            changes.append(StreamChange(stream, None, f"{stream.name} is made"))
            continue
        _refuse_unchangeable(stream, found)
        wanted = _wanted(stream, found)
        if differing := [*_differences(found, wanted)]:
            words = f"{stream.name}: {'; '.join(differing)}"
            changes.append(StreamChange(stream, wanted, words))
    return changes


async def bring_to_table(js: JetStreamContext) -> None:
    """Change each stream that differs; a second time does nothing. Raises as `stream_changes`."""
    for change in await stream_changes(js):
        if change.config is None:
            await make_stream(js, change.stream)
            continue
        try:
            await js.update_stream(change.config)
        except (BadRequestError, ServerError) as error:
            raise PreconditionError(
                f"the broker does not change stream {change.stream.name}: {error.description}. Mend"
                " that, with the version that made the folder if need be, and repeat"
            ) from error


async def set_schema(js: JetStreamContext, name: str, schema: int) -> None:
    """Say that all messages of a stream are of this schema: the last step of a migration."""
    found = await found_config(js, name)
    if found is None:
        raise PreconditionError(f"there is no stream {name}. Restore a backup that has it")
    await js.update_stream(found.evolve(metadata=with_schema(found.metadata, schema)))


def _wanted(stream: Stream, found: api.StreamConfig) -> api.StreamConfig:
    table = stream_config(stream, found.num_replicas or 1)
    limits = {name: _roomier(getattr(found, name), getattr(table, name)) for name in LIMITS}
    return found.evolve(
        **limits,
        duplicate_window=max(found.duplicate_window, table.duplicate_window),
        subjects=wanted_subjects(stream, found),
        discard=table.discard,
        allow_direct=False,
        allow_msg_ttl=found.allow_msg_ttl or table.allow_msg_ttl,
        metadata=with_schema(found.metadata),
    )


def _roomier(found: float | None, table: float | None) -> float | None:
    """The one that keeps more."""
    if not found or found < 0:
        return found
    return table if not table or table < 0 else max(found, table)


def _differences(found: api.StreamConfig, wanted: api.StreamConfig) -> Iterator[str]:
    for name in COMPARED:
        before, after = getattr(found, name), getattr(wanted, name)
        if (before or None) != (after or None):
            yield f"{name} {_word(before)} becomes {_word(after)}"
    if found.metadata != wanted.metadata:
        yield "says its schema"


def _word(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _refuse_unchangeable(stream: Stream, found: api.StreamConfig) -> None:
    table = stream_config(stream, 1)
    for name in NEVER_CHANGED:
        before, needed = getattr(found, name), getattr(table, name)
        if before != needed:
            raise PreconditionError(
                f"stream {stream.name} has {name} {_word(before)}, and {_word(needed)} is needed,"
                " which no broker changes. Start it with the mill that made it, say `mill state"
                " export`, and import into an empty state folder"
            )
