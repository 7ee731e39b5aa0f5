"""The event that follows from a success, made from nothing but the stored result."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JobResult, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import route

BEFORE_COMMIT = timedelta(days=1)
"""How far before the commit the search begins: more than two clocks differ."""


def announcement_of(result: JobResult) -> Message | None:
    """The event's body; None when this kind of job announces nothing.

    Raises:
        InvalidInputError: `announce_subject` is not in the table.
        google.protobuf.json_format.ParseError: the announcement is not a body of that subject.
    """
    if not result.announce_subject:
        return None
    body = route(result.announce_subject).body()
    return json_format.ParseDict(json_format.MessageToDict(result.announcement), body)


async def announce(bus: Bus, result: JobResult) -> None:
    """Publish the event. Within the stream's window a second one with its id is dropped."""
    body = announcement_of(result)
    if body is not None:
        await bus.publish(result.announce_subject, body, msg_id=result.version_id)


async def announce_unless_stored(bus: Bus, state: JobState) -> None:
    """Publish the event if the stream does not have it, however long ago the commit was."""
    result = state.result
    if not result.announce_subject:
        return
    facts = await bus.facts(route(result.announce_subject).stream)
    age = time.time() - state.finished_at.ToNanoseconds() / 1e9
    if 0 <= age < facts.duplicate_window_seconds / 2:
        # The stream knows by itself; reading it once more for every job would take ever longer.
        await announce(bus, result)
        return
    since = state.finished_at.ToDatetime() - BEFORE_COMMIT
    async for stored in bus.replay([result.announce_subject], since=since):
        if stored.msg_id == result.version_id:
            return
    await announce(bus, result)


def announced_result(
    made_id: str, digest: str, subject: str, announcement: Message, summary: Mapping[str, Any]
) -> JobResult:
    """An artifact that the worker announces once the job's success is recorded.

    Args:
        made_id: of the dataset or model version.
        announcement: body of the subject; it says what was made.
        summary: figures for people.
    """
    return JobResult(
        digest=digest,
        version_id=made_id,
        announce_subject=subject,
        announcement=ParseDict(MessageToDict(announcement), Struct()),
        summary=ParseDict(dict(summary), Struct()),
    )
