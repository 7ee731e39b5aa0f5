"""What the table of `modelmill_jobs.subjects` is made of: streams, and rows of subjects in them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from google.protobuf.message import Message

MIB = 1024 * 1024
HOUR_SECONDS = 3600.0
DAY_SECONDS = 24 * HOUR_SECONDS

PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Row:
    """Subjects of one form: what they carry, and who publishes it."""

    address: str
    """With a name in the place of each id, as in the body where it has it: `job.state.{job_id}`."""
    body: type[Message]
    publishers: tuple[str, ...]
    """Names of the services, as in `ce-source`; nobody else may."""
    readers: tuple[str, ...]
    """Who reads what is stored; whoever reads all rows of a stream may look up single messages."""
    listeners: tuple[str, ...] = ()
    """Outsiders, who hear it when it is published and reach nothing that is stored."""

    @property
    def template(self) -> str:
        """The address with ids as `*`."""
        return PLACE.sub("*", self.address)

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the ids, in order."""
        return tuple(PLACE.findall(self.address))


@dataclass(frozen=True)
class Durable:
    """A consumer that outlives its readers, and shares messages out among them."""

    name: str
    reader: str
    """The only service that may define it, take from it and acknowledge."""
    filter: str


@dataclass(frozen=True)
class Stream:
    """A JetStream stream as this system needs it; replicas and limits may be raised by operators.

    Args:
        max_age_seconds: messages older than this may go; 0 keeps them for ever.
        duplicate_window_seconds: how long a Nats-Msg-Id is remembered.
        lossy: when full, drop the oldest instead of refusing the newest.
        work_queue: a message goes when a consumer has acknowledged it; nobody can replay it.
        forgets: a message may say how long it is kept.
        max_per_subject: when one subject holds more, its oldest goes; 0 has no limit.
    """

    name: str
    rows: tuple[Row, ...]
    max_bytes: int
    max_age_seconds: float = 0.0
    duplicate_window_seconds: float = 24 * HOUR_SECONDS
    lossy: bool = False
    work_queue: bool = False
    max_per_subject: int = 0
    forgets: bool = False
    consumers: tuple[Durable, ...] = ()

    @cached_property
    def subjects(self) -> Mapping[str, type[Message]]:
        """Bodies by template."""
        return {row.template: row.body for row in self.rows}
