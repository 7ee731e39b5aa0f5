"""Stream snapshots by the broker itself, and the positions of durable consumers.

A snapshot holds a stream's messages with their sequences, times and ids. Consumers are recorded
apart and earlier, so that whatever they had acknowledged had its effect before any stream was read.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from modelmill_service_kit.errors import InvalidInputError, UnavailableError
from nats.errors import Error as NatsError

from modelmill_bus.link import REQUEST_SECONDS, Link
from modelmill_bus.permissions import API
from modelmill_bus.subjects import STREAMS

CHUNK_BYTES = 128 * 1024
"""Of a snapshot in one message; below the broker's `max_payload`."""
SILENCE_SECONDS = 30.0
"""How long the broker may be about one chunk; a restore ends with the checks of a whole stream."""
CONSUMER_NOT_FOUND, STREAM_NOT_FOUND = 10014, 10059
OWN_METADATA = "_nats."
"""Prefix of what the broker itself adds to a configuration."""

_FIRST = ("TENANTS", "ERASURES", "SNAPSHOTS", "WEBHOOKS", "CONFIG")
_LAST = ("JOBS", "MODELS", "DATASETS")
LEFT_OUT = ("PROGRESS",)
"""Lossy, and of the last hour alone."""
SNAPSHOT_ORDER = (
    *_FIRST,
    *(each.name for each in STREAMS if each.name not in (*_FIRST, *_LAST, *LEFT_OUT)),
    *_LAST,
)
"""What says that something is gone, or names something, comes before that in which it is."""


@dataclass(frozen=True)
class StreamSnapshot:
    """What the broker says of a snapshot; a restore tells it again."""

    name: str
    config: Mapping[str, Any]
    state: Mapping[str, Any]

    @property
    def last_sequence(self) -> int:
        """0 when there never was a message."""
        return int(self.state["last_seq"])

    @property
    def forgets(self) -> bool:
        """Whether messages go by their age, so that a restored stream may have fewer."""
        return bool(self.config.get("max_age") or self.config.get("allow_msg_ttl"))


@dataclass(frozen=True)
class ConsumerPosition:
    """A durable consumer, and the first message that it had not acknowledged."""

    stream: str
    config: Mapping[str, Any]
    next_sequence: int


async def consumer_positions(link: Link) -> list[ConsumerPosition]:
    """Where each durable consumer of the table stands; those of work queues stand nowhere.

    Raises:
        UnavailableError: the broker is away.
    """
    positions = []
    for stream in STREAMS:
        if stream.work_queue:
            continue  # whatever is left in it was not acknowledged
        for durable in stream.consumers:
            subject = f"{API}.CONSUMER.INFO.{stream.name}.{durable.name}"
            told = await _asked(link, subject, {}, none_for=(CONSUMER_NOT_FOUND, STREAM_NOT_FOUND))
            if told is not None:
                after = int(told["ack_floor"]["stream_seq"])
                positions.append(ConsumerPosition(stream.name, _plain(told["config"]), after + 1))
    return positions


async def restore_position(link: Link, position: ConsumerPosition) -> None:
    """Make the consumer go on where it stood; what it had in work is delivered again."""
    stream, name = position.stream, str(position.config["durable_name"])
    body = {"stream_name": stream, "config": dict(position.config)}
    await _asked(link, f"{API}.CONSUMER.CREATE.{stream}.{name}", body)
    if position.next_sequence > 1:
        again = {"seq": position.next_sequence}
        await _asked(link, f"{API}.CONSUMER.RESET.{stream}.{name}", again)


async def snapshot_stream(
    link: Link, name: str, write: Callable[[bytes], object]
) -> StreamSnapshot | None:
    """Hand a snapshot of a stream to `write`, in chunks; None where there is no such stream.

    Raises:
        UnavailableError: the broker is away, or finds the stream damaged.
    """
    inbox = link.client.new_inbox()
    subscription = await link.client.subscribe(inbox)
    body = {"deliver_subject": inbox, "no_consumers": True, "jsck": True, "chunk_size": CHUNK_BYTES}
    try:
        subject = f"{API}.STREAM.SNAPSHOT.{name}"
        told = await _asked(link, subject, body, none_for=(STREAM_NOT_FOUND,))
        if told is None:
            return None
        while True:
            chunk = await subscription.next_msg(timeout=SILENCE_SECONDS)
            if not chunk.data:
                _refuse_early_end(name, chunk.headers or {})
                return StreamSnapshot(name, _plain(told["config"]), told["state"])
            write(chunk.data)
            if chunk.reply:
                await link.client.publish(chunk.reply)  # the broker sends a few megabytes ahead
    except (NatsError, TimeoutError) as error:
        raise UnavailableError(f"the snapshot of stream {name} was cut short: {error}") from error
    finally:
        await subscription.unsubscribe()


async def restore_stream(link: Link, snapshot: StreamSnapshot, chunks: Iterable[bytes]) -> None:
    """Make the stream anew from a snapshot, in one replica.

    Raises:
        InvalidInputError: the snapshot is damaged, or the stream came out otherwise.
        UnavailableError: the broker is away.
    """
    name = snapshot.name
    body = {"config": {**snapshot.config, "num_replicas": 1}, "state": dict(snapshot.state)}
    told = await _asked(link, f"{API}.STREAM.RESTORE.{name}", body) or {}
    to = str(told["deliver_subject"])
    try:
        for chunk in chain(_cut(chunks), (b"",)):
            answer = await link.client.request(to, chunk, timeout=SILENCE_SECONDS)
            made = json.loads(answer.data) if answer.data else {}
            if "error" in made:
                said = made["error"].get("description")
                raise InvalidInputError(f"stream {name} cannot be restored: {said}")
    except (NatsError, TimeoutError) as error:
        raise UnavailableError(f"the restore of stream {name} was cut short: {error}") from error
    if difference := _difference(snapshot, made["state"]):
        raise InvalidInputError(f"stream {name} came out otherwise than it was: {difference}")


def _cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Each in pieces that the broker takes."""
    for chunk in chunks:
        for at in range(0, len(chunk), CHUNK_BYTES):
            yield chunk[at : at + CHUNK_BYTES]


def _difference(snapshot: StreamSnapshot, state: Mapping[str, Any]) -> str:
    """Of what a restored stream holds; messages whose time was over are no difference."""
    compared = ("last_seq",) if snapshot.forgets else ("last_seq", "messages")
    for key in compared:
        if state[key] != snapshot.state[key]:
            return f"{key} is {state[key]} instead of {snapshot.state[key]}"
    return ""


def _refuse_early_end(name: str, headers: Mapping[str, str]) -> None:
    status = headers.get("Status", "")
    if status not in ("", "204"):
        said = headers.get("Description", status)
        raise UnavailableError(f"the broker gave up the snapshot of stream {name}: {said}")


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as one asks for it."""
    metadata = config.get("metadata") or {}
    kept = {key: word for key, word in metadata.items() if not key.startswith(OWN_METADATA)}
    return {key: value for key, value in config.items() if key != "metadata"} | (
        {"metadata": kept} if kept else {}
    )


async def _asked(
    link: Link, subject: str, body: Mapping[str, Any], *, none_for: tuple[int, ...] = ()
) -> dict[str, Any] | None:
    async with link.request(f"ask {subject}", subject):
        asked = json.dumps(body).encode()
        answer = await link.client.request(subject, asked, timeout=5 * REQUEST_SECONDS)
    document: dict[str, Any] = json.loads(answer.data)
    error = document.get("error")
    if error is None:
        return document
    if error.get("err_code") in none_for:
        return None
    raise UnavailableError(f"the message broker refuses {subject}: {error.get('description')}")
