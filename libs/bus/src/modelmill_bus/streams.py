"""Creates the streams of the table where they are missing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_service_kit.errors import UnavailableError
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from modelmill_bus.errors import NO_ROOM, BrokerDiskFullError
from modelmill_bus.stream_schemas import refuse_other_schema, said_schema, with_schema
from modelmill_bus.subjects import STREAMS, Stream, family_of

log = logging.getLogger(__name__)

NO_SUITABLE_PEERS, REPLICAS_NEED_A_CLUSTER = 10005, 10074


async def ensure_streams(js: JetStreamContext, replicas: int = 1) -> None:
    """Create what is missing, add subjects that are new and take out those that moved.

    Several processes may do so at once.
    Limits and replicas of a stream that exists are left alone: an operator may have raised them.

    Raises:
        StreamSchemaError: a stream is of another schema than the table's; it is left alone.
        ServiceUnavailableError: the brokers of a cluster have not all found each other yet.
        UnavailableError: so many replicas cannot be had of one broker alone.
    """
    for stream in STREAMS:
        found = await found_config(js, stream.name)
        if found is None:
            await make_stream(js, stream, replicas)
            continue
        refuse_other_schema(stream, found)
        subjects, metadata = wanted_subjects(stream, found), with_schema(found.metadata)
        if subjects != found.subjects or metadata != found.metadata:
            log.info("stream %s gets subjects %s", stream.name, subjects)
            await js.update_stream(found.evolve(subjects=subjects, metadata=metadata))


async def missing_streams(js: JetStreamContext, names: Sequence[str]) -> list[str]:
    """Those of `names` that the broker does not have.

    Raises:
        StreamSchemaError: one that it has is of another schema than the table's.
    """
    missing = []
    for stream in STREAMS:
        if stream.name not in names:
            continue
        found = await found_config(js, stream.name)
        if found is None:
            missing.append(stream.name)
        else:
            refuse_other_schema(stream, found)
    return missing


async def found_config(js: JetStreamContext, name: str) -> api.StreamConfig | None:
    """A stream's configuration; None where the broker has no such stream."""
    try:
        info: Any = await js.stream_info(name)
    except NotFoundError:
        return None
    config: api.StreamConfig = info.config
    return config


def wanted_subjects(stream: Stream, found: api.StreamConfig) -> list[str]:
    """Those that the stream has and is to have, without those that are another's."""
    has = found.subjects or []
    # A subject is in one stream only: one that moved leaves the old one first, and one that is
    # taken with its family is not taken beside it.
    others = [each for other in STREAMS if other is not stream for each in other.taken]
    kept = {each for each in has if family_of(each) not in (*others, *stream.taken)}
    wanted = kept | set(stream.taken)
    return has if set(has) == wanted else sorted(wanted)


async def make_stream(js: JetStreamContext, stream: Stream, replicas: int = 1) -> None:
    """Create a stream of the table; raises as `ensure_streams` does."""
    try:
        await js.add_stream(stream_config(stream, replicas))
    except APIError as error:
        if error.err_code == NO_SUITABLE_PEERS:
            raise ServiceUnavailableError(description=error.description) from error
        if error.err_code == REPLICAS_NEED_A_CLUSTER:
            raise UnavailableError(f"{replicas} replicas need a cluster of brokers") from error
        if error.err_code in NO_ROOM:
            raise BrokerDiskFullError(f"make stream {stream.name}") from error
        raise


def stream_config(stream: Stream, replicas: int) -> api.StreamConfig:
    """A stream of the table, as the broker is asked for it."""
    return api.StreamConfig(
        name=stream.name,
        subjects=list(stream.taken),
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.WORK_QUEUE
        if stream.work_queue
        else api.RetentionPolicy.LIMITS,
        discard=api.DiscardPolicy.OLD if stream.lossy else api.DiscardPolicy.NEW,
        max_bytes=stream.max_bytes,
        max_age=stream.max_age_seconds,
        allow_msg_ttl=stream.forgets or None,
        max_msgs_per_subject=stream.max_per_subject or -1,
        duplicate_window=stream.duplicate_window_seconds,
        num_replicas=replicas,
        # A read by subject goes to the leader: a follower may be behind, and fencing must not be.
        allow_direct=False,
        metadata=with_schema(None, stream.schema),
    )


MIB = 1024 * 1024


@dataclass(frozen=True)
class StreamUsage:
    """A stream as its leader describes it."""

    name: str
    first_sequence: int
    """One more than the last in an emptied stream; 0 when there never was a message."""
    last_sequence: int
    """0 when there never was a message."""
    messages: int
    used_bytes: int
    limit_bytes: int
    """0 for a stream without a limit."""
    duplicate_window_seconds: float
    """How long it remembers the ids of messages."""
    schema: str
    """What it says of its schema."""

    @classmethod
    def of(cls, info: Any) -> "StreamUsage":
        """As the client gives them."""
        state, config = info.state, info.config
        return cls(
            config.name,
            state.first_seq,
            state.last_seq,
            state.messages,
            state.bytes,
            max(0, config.max_bytes or 0),
            config.duplicate_window or 0.0,
            said_schema(config.metadata),
        )

    @property
    def fill(self) -> float:
        """Share of the room that is used, 0 to 1; 0 without a limit."""
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0

    def refusal(self, share: float) -> str:
        """Why nothing more is taken above `share`, and what an operator does about it."""
        twice = 2 * -(-self.limit_bytes // MIB)
        return (
            f"stream {self.name} is {self.fill:.0%} full ({self.used_bytes / MIB:,.1f} of"
            f" {self.limit_bytes / MIB:,.1f} MiB) and new jobs are refused from {share:.0%} on, so"
            " that running ones can end. Give it more room with"
            f" `nats stream edit {self.name} --max-bytes={twice * MIB}`, which works at once;"
            " jobs are the record of what was made and are not deleted"
        )
