"""Export and import of all durable streams as one file.

A gzip of JSON lines: what the streams were, then each message with its place, then a checksum.
Every message gets the sequence that it had, for fences and compare-and-sets are sequences.
"""

import asyncio
import base64
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext

from modelmill_bus.envelope import MSG_ID
from modelmill_bus.errors import StreamSchemaError
from modelmill_bus.following import Follower
from modelmill_bus.link import Link
from modelmill_bus.stream_schemas import FIRST, schema_problem
from modelmill_bus.streams import StreamUsage
from modelmill_bus.subjects import STREAMS

FORMAT, VERSION = "modelmill-state", 1
DURABLE = tuple(stream for stream in STREAMS if not stream.lossy and not stream.work_queue)
UNDER_WAY = 256
"""Publishes that wait for their acknowledgement at a time."""
WINDOW_SECONDS = 0.1
"""How long an import lets the broker remember message ids: it replays days in seconds."""
GAP = "import-gap"

OnMessage = Callable[[int, int], None]
"""Called with how many messages are done, and of how many."""


async def export_streams(link: Link, path: Path, on_message: OnMessage) -> int:
    """Write everything that is stored now, and say how many messages that were.

    Raises:
        UnavailableError: the broker is away.
        OSError: the file cannot be written; none is left then.
    """
    facts = [await _facts(link.js, stream.name) for stream in DURABLE]
    total, done = sum(each.messages for each in facts), 0
    digest = hashlib.sha256()
    partial = path.with_name(f"{path.name}.partial")
    try:
        with gzip.open(partial, "wb", compresslevel=5) as file:

            def write(line: Mapping[str, Any]) -> None:
                encoded = json.dumps(line, ensure_ascii=False).encode() + b"\n"
                digest.update(encoded)
                file.write(encoded)

            write(_heading(facts))
            for each in facts:
                async with aclosing(_stored(link, each)) as messages:  # type: ignore[type-var]
                    async for message in messages:
                        write(_line(each.name, message))
                        done += 1
                        on_message(done, total)
            write({"messages": done, "sha256": digest.hexdigest()})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return done


async def import_streams(link: Link, path: Path, on_message: OnMessage) -> int:
    """Store what a file holds in a broker that holds nothing, and say how many messages it was.

    Raises:
        InvalidInputError: the file is damaged, or none of ours; nothing was written.
        StreamSchemaError: it is of a release whose streams have another schema.
        PreconditionError: the broker holds something.
        UnavailableError: the broker is away or full; what was written is removed again.
    """
    heading, total = _checked(path)
    _refuse_other_schemas(path, heading["streams"])
    for stream in DURABLE:
        found = await _facts(link.js, stream.name)
        if found.last_sequence:
            raise PreconditionError(
                f"stream {stream.name} is at message {found.last_sequence} already. Import into a"
                " state folder in which nothing has run"
            )
    done = 0
    try:
        for name, was in heading["streams"].items():
            async with _replaying(link.js, name, was["limit_bytes"]):
                writer = _Writer(link.js, name)
                for line in _lines_of(path, name):
                    await writer.write(line)
                    done += 1
                    on_message(done, total)
                await writer.finish(was["last_sequence"])
    except BaseException as error:
        for stream in DURABLE:
            await link.js.delete_stream(stream.name)
        if isinstance(error, NatsError | TimeoutError):
            raise UnavailableError(f"the import was given up and undone: {error}") from error
        raise
    return done


def _refuse_other_schemas(path: Path, streams: Mapping[str, Mapping[str, Any]]) -> None:
    for stream in DURABLE:
        said = str(streams.get(stream.name, {}).get("schema", FIRST))
        if problem := schema_problem(stream, said):
            raise StreamSchemaError(
                f"{path}: {problem[0]}. Import it with the mill that exported it; the folder is"
                " upgraded by `mill state upgrade`"
            )


class _Writer:
    """Publishes one stream's messages at the sequences that they had."""

    def __init__(self, js: JetStreamContext, stream: str) -> None:
        self._js = js
        self._stream = stream
        self._next = 1
        self._waiting: list[tuple[int, asyncio.Future[Any]]] = []
        self._ids: set[str] = set()

    async def write(self, line: Mapping[str, Any]) -> None:
        await self._fill_to(line["sequence"])
        msg_id = line["headers"].get(MSG_ID)
        if msg_id in self._ids:
            # It was written again when the window of the first was over; so it is now.
            await self._settle()
            await asyncio.sleep(2 * WINDOW_SECONDS)
        elif msg_id:
            self._ids.add(msg_id)
        await self._publish(line["subject"], _body(line), line["headers"])

    async def finish(self, last_sequence: int) -> None:
        """Come to the end of the stream as it was."""
        await self._fill_to(last_sequence + 1)
        await self._settle()

    async def _fill_to(self, sequence: int) -> None:
        while self._next < sequence:
            await self._publish(_gap(self._stream), b"", {})

    async def _publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
        future = await self._js.publish_async(subject, body, headers=dict(headers) or None)
        self._waiting.append((self._next, future))
        self._next += 1
        if len(self._waiting) >= UNDER_WAY:
            await self._settle()

    async def _settle(self) -> None:
        for sequence, future in self._waiting:
            acknowledged = await asyncio.wait_for(future, 30)
            if acknowledged.seq != sequence or acknowledged.duplicate:
                raise UnavailableError(
                    f"message {sequence} of {self._stream} became {acknowledged.seq}: somebody"
                    " else writes to this broker"
                )
        self._waiting.clear()


@asynccontextmanager
async def _replaying(js: JetStreamContext, name: str, limit_bytes: int) -> AsyncIterator[None]:
    """Within the block the stream takes old message ids, and messages for places left empty."""
    info: Any = await js.stream_info(name)
    kept = info.config.evolve(max_bytes=max(info.config.max_bytes, limit_bytes))
    subjects = [*kept.subjects, _gap(name)]
    await js.update_stream(kept.evolve(subjects=subjects, duplicate_window=WINDOW_SECONDS))
    yield
    await js.purge_stream(name, subject=_gap(name))
    await js.update_stream(kept)


def _gap(stream: str) -> str:
    return f"{GAP}.{stream.lower()}"


async def _facts(js: JetStreamContext, stream: str) -> StreamUsage:
    return StreamUsage.of(await js.stream_info(stream))


async def _stored(link: Link, facts: StreamUsage) -> AsyncIterator[Any]:
    if not facts.messages:
        return
    subjects = next(stream.subjects for stream in DURABLE if stream.name == facts.name)
    follower = Follower(link, facts.name, [*subjects], ends=True)
    async with aclosing(follower.messages()) as messages:  # type: ignore[type-var]
        async for message in messages:
            if message.metadata.sequence.stream > facts.last_sequence:
                return
            yield message


def _heading(facts: list[StreamUsage]) -> dict[str, Any]:
    streams = {
        each.name: {
            "first_sequence": each.first_sequence,
            "last_sequence": each.last_sequence,
            "messages": each.messages,
            "limit_bytes": each.limit_bytes,
            "schema": each.schema,
        }
        for each in facts
    }
    taken_at = datetime.now(UTC).isoformat()
    return {"format": FORMAT, "version": VERSION, "taken_at": taken_at, "streams": streams}


def _line(stream: str, message: Any) -> dict[str, Any]:
    line = {
        "stream": stream,
        "sequence": message.metadata.sequence.stream,
        "stored_at": message.metadata.timestamp.isoformat(),
        "subject": message.subject,
        "headers": message.headers or {},
    }
    try:
        return {**line, "body": message.data.decode()}
    except UnicodeDecodeError:
        return {**line, "body_base64": base64.b64encode(message.data).decode()}


def _body(line: Mapping[str, Any]) -> bytes:
    if "body_base64" in line:
        return base64.b64decode(line["body_base64"])
    return bytes(line["body"].encode())


def _lines_of(path: Path, stream: str) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rb") as file:
        for encoded in file:
            line = json.loads(encoded)
            if line.get("stream") == stream:
                yield line


def _checked(path: Path) -> tuple[dict[str, Any], int]:
    """The heading and the number of messages of a file that is whole."""
    digest, heading, before, count = hashlib.sha256(), None, b"", 0
    try:
        with gzip.open(path, "rb") as file:
            for encoded in file:
                if heading is None:
                    heading = json.loads(encoded)
                digest.update(before)
                before, count = encoded, count + 1
        ending = json.loads(before)
        if heading is None or heading["format"] != FORMAT or heading["version"] != VERSION:
            raise InvalidInputError(f"{path} is of another version: export it with this one")
        if ending["sha256"] != digest.hexdigest() or ending["messages"] != count - 2:
            raise InvalidInputError(f"{path} is damaged: its checksum is another. Export it again")
    except (EOFError, gzip.BadGzipFile, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"{path} is not a complete export of `mill state export`"
        ) from error
    return heading, count - 2
