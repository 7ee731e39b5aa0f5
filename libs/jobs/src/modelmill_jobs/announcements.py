"""The events that follow from a success, made from nothing but the stored result."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import FurtherVersion, JobResult, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import route

BEFORE_COMMIT = timedelta(days=1)
"""How far before the commit the search begins: more than two clocks differ."""


def announcements_of(result: JobResult) -> dict[str, Message]:
    """Bodies of the events by their message ids, in order; empty when the job announces nothing.

    What was made besides comes first: whoever finds the version that was asked for finds all.

    Raises:
        InvalidInputError: `announce_subject` is not in the table.
        google.protobuf.json_format.ParseError: an announcement is not a body of that subject.
    """
    if not result.announce_subject:
        return {}
    found = {one.version_id: one.announcement for one in result.further}
    if result.announcement.fields:
        found[result.version_id] = result.announcement
    subject = route(result.announce_subject)
    return {
        made_id: json_format.ParseDict(json_format.MessageToDict(announcement), subject.body())
        for made_id, announcement in found.items()
    }


async def announce(bus: Bus, result: JobResult) -> None:
    """Publish the events. Within the stream's window a second one with its id is dropped."""
    for made_id, body in announcements_of(result).items():
        await bus.publish(result.announce_subject, body, msg_id=made_id)


async def announce_unless_stored(bus: Bus, state: JobState) -> None:
    """Publish the events that the stream does not have, however long ago the commit was."""
    result = state.result
    missing = set(announcements_of(result))
    if not missing:
        return
    facts = await bus.facts(route(result.announce_subject).stream)
    age = time.time() - state.finished_at.ToNanoseconds() / 1e9
    if 0 <= age < facts.duplicate_window_seconds / 2:
        # The stream knows by itself; reading it once more for every job would take ever longer.
        await announce(bus, result)
        return
    since = state.finished_at.ToDatetime() - BEFORE_COMMIT
    async for stored in bus.replay([result.announce_subject], since=since):
        missing.discard(stored.msg_id)
        if not missing:
            return
    for made_id, body in announcements_of(result).items():
        if made_id in missing:
            await bus.publish(result.announce_subject, body, msg_id=made_id)


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


def further_version(version_id: str, announcement: Message) -> FurtherVersion:
    """A version that a job made besides the one that it was asked for."""
    return FurtherVersion(
        version_id=version_id, announcement=ParseDict(MessageToDict(announcement), Struct())
    )
