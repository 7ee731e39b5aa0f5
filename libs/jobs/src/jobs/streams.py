"""Creates the streams of the table where they are missing."""

import logging
from collections.abc import Sequence
from typing import Any

from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from jobs.rows import Stream
from jobs.subjects import STREAMS

log = logging.getLogger(__name__)


async def ensure_streams(js: JetStreamContext) -> None:
    """Create what is missing and add subjects that are new; several processes may do so at once.

    Limits and replicas of a stream that exists are left alone: an operator may have raised them.
    """
    for stream in STREAMS:
        try:
            found: Any = await js.stream_info(stream.name)
        except NotFoundError:
            await js.add_stream(_config(stream))
            continue
        missing = sorted(set(stream.subjects) - set(found.config.subjects or ()))
        if missing:
            log.info("stream %s gets subjects %s", stream.name, missing)
            await js.update_stream(
                found.config.evolve(subjects=[*(found.config.subjects or ()), *missing])
            )


async def missing_streams(js: JetStreamContext, names: Sequence[str]) -> list[str]:
    """Those of `names` that the broker does not have."""
    missing = []
    for name in names:
        try:
            await js.stream_info(name)
        except NotFoundError:
            missing.append(name)
    return missing


def _config(stream: Stream) -> api.StreamConfig:
    return api.StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.LIMITS,
        discard=api.DiscardPolicy.OLD if stream.lossy else api.DiscardPolicy.NEW,
        max_bytes=stream.max_bytes,
        max_age=stream.max_age_seconds,
        duplicate_window=stream.duplicate_window_seconds,
        deny_delete=not stream.lossy,
        num_replicas=1,
        # A read by subject goes to the leader: a follower may be behind, and fencing must not be.
        allow_direct=False,
    )
