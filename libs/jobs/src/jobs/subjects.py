"""The only table of streams, subjects and the messages they carry.

Every subject that leaves this process is built or checked here, so that no text of a caller can
reach the wire as a wildcard, a second token or a line break.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import (
    BudgetState,
    FeedbackRecorded,
    KeyState,
    UsageRecorded,
)
from modelmill.jobs.v1.job_pb2 import JobControl, JobProgress, JobRequested, JobResumed, JobState
from modelmill.jobs.v1.snapshot_pb2 import SnapshotPart, SnapshotState
from modelmill.moderation.v1.moderation_events_pb2 import ModerationRecorded, PolicyState
from modelmill.registry.v1.model_events_pb2 import (
    AliasState,
    DatasetReady,
    DatasetRetired,
    FileState,
    ModelReady,
    ModelRetired,
    ModelServing,
)
from service_kit.errors import InvalidInputError

from jobs.kinds import KINDS
from jobs.rows import HOUR_SECONDS, MIB, Row, Stream
from jobs.webhook_rows import WEBHOOK_STATE, WEBHOOK_STREAMS

TOKEN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""One part of a subject, always matched whole: lower case, digits, inner and trailing dashes."""

MODEL_READY = "model.ready"
MODEL_RETIRED = "model.retired"
MODEL_SERVING = "model.serving"
DATASET_READY = "dataset.ready"
DATASET_RETIRED = "dataset.retired"

OWNERS_OF_JOBS = ("data-prep", "trainer", "optimizer-builder")

STREAMS = (
    Stream(
        "JOBS",
        (
            Row("job.requested.{kind}.{tenant}.{job_id}", JobRequested, OWNERS_OF_JOBS),
            Row("job.resumed.{kind}.{tenant}.{job_id}", JobResumed, OWNERS_OF_JOBS),
            Row("job.control.{job_id}", JobControl, OWNERS_OF_JOBS),
            Row("job.state.{job_id}", JobState, OWNERS_OF_JOBS),
        ),
        max_bytes=1024 * MIB,
    ),
    Stream(
        "PROGRESS",
        (Row("job.progress.{job_id}", JobProgress, OWNERS_OF_JOBS),),
        max_bytes=64 * MIB,
        max_age_seconds=HOUR_SECONDS,
        duplicate_window_seconds=120.0,
        lossy=True,
    ),
    Stream(
        "MODELS",
        (
            # `mill models import` announces what people bring in.
            Row(MODEL_READY, ModelReady, ("trainer", "optimizer-builder", "cli")),
            Row(MODEL_RETIRED, ModelRetired, ("trainer",)),
            Row(MODEL_SERVING, ModelServing, ("inference",)),
        ),
        max_bytes=64 * MIB,
    ),
    Stream(
        "DATASETS",
        (
            Row("file.state.{file_id}", FileState, ("data-prep",)),
            Row(DATASET_READY, DatasetReady, ("data-prep",)),
            Row(DATASET_RETIRED, DatasetRetired, ("data-prep",)),
        ),
        max_bytes=64 * MIB,
    ),
    Stream(
        "CONFIG",
        (
            Row("alias.state.{tenant}.{name}", AliasState, ("gateway",)),
            Row("policy.state.{tenant}", PolicyState, ("moderation",)),
            Row("key.state.{key_id}", KeyState, ("gateway",)),
            Row("budget.state.{budget_id}", BudgetState, ("gateway",)),
            WEBHOOK_STATE,
        ),
        max_bytes=64 * MIB,
    ),
    *WEBHOOK_STREAMS,
    Stream(
        "USAGE",
        (Row("usage.recorded.{tenant}", UsageRecorded, ("gateway",)),),
        max_bytes=256 * MIB,
    ),
    Stream(
        "FEEDBACK",
        (Row("feedback.recorded.{tenant}", FeedbackRecorded, ("gateway",)),),
        max_bytes=64 * MIB,
    ),
    Stream(
        "AUDIT", (Row("audit.{service}", ModerationRecorded, ("moderation",)),), max_bytes=256 * MIB
    ),
    Stream(
        "SNAPSHOTS",
        (
            Row("snapshot.part.{model}.{snapshot_id}", SnapshotPart, ("gateway",)),
            Row("snapshot.state.{model}", SnapshotState, ("gateway",)),
        ),
        max_bytes=512 * MIB,
        lossy=True,
    ),
)


@dataclass(frozen=True)
class Route:
    """Where messages of a subject, or of a filter over subjects, live."""

    stream: str
    template: str
    """The row of the table, ids as `*`: a name of bounded variety for spans and metrics."""
    body: type[Message]


def route(subject: str) -> Route:
    """The row of one concrete subject.

    Raises:
        InvalidInputError: the subject is not in the table or a token is not allowed.
    """
    tokens = subject.split(".")
    for stream in STREAMS:
        for template, body in stream.subjects.items():
            pattern = template.split(".")
            if len(pattern) == len(tokens) and all(
                TOKEN.fullmatch(token) if want == "*" else token == want
                for want, token in zip(pattern, tokens, strict=True)
            ):
                return Route(stream.name, template, body)
    raise InvalidInputError(f"no such subject: {subject!r}")


def stream_of(filters: tuple[str, ...]) -> str:
    """The one stream that all `filters` (subjects, `*` and a last `>` allowed) read from.

    Raises:
        InvalidInputError: a filter matches nothing in the table, or they span two streams.
    """
    found = set()
    for subject in filters:
        names = {s.name for s in STREAMS if any(_overlaps(subject, t) for t in s.subjects)}
        if not names:
            raise InvalidInputError(f"no such subject: {subject!r}")
        found |= names
    if len(found) != 1:
        raise InvalidInputError(f"{filters} must be of one stream, not of {sorted(found)}")
    return found.pop()


def is_whole_stream(filters: Sequence[str]) -> bool:
    """Whether all that a stream may hold passes `filters`, which are of one stream."""
    name = stream_of(tuple(filters))
    templates = next(stream.subjects for stream in STREAMS if stream.name == name)
    return all(any(_covers(each, template) for each in filters) for template in templates)


def _covers(subject: str, template: str) -> bool:
    """Whether a filter matches every subject of the template."""
    wanted, pattern = subject.split("."), template.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        pattern, rest = pattern[: len(wanted)], pattern[len(wanted) :]
        if not rest:
            return False
    return len(wanted) == len(pattern) and all(
        want in ("*", token) for want, token in zip(wanted, pattern, strict=True)
    )


def _overlaps(subject: str, template: str) -> bool:
    """Whether a filter can match a subject of the template."""
    wanted, pattern = subject.split("."), template.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        pattern, rest = pattern[: len(wanted)], pattern[len(wanted) :]
        if not rest:
            return False
    return len(wanted) == len(pattern) and all(
        want == "*" or want == token or (token == "*" and TOKEN.fullmatch(want) is not None)
        for want, token in zip(wanted, pattern, strict=True)
    )


def token(value: str, what: str = "id") -> str:
    """`value`, if it may be one token of a subject.

    Raises:
        InvalidInputError: it is anything but 1-63 of a-z, 0-9 and `-`, not beginning with `-`.
    """
    if TOKEN.fullmatch(value) is None:
        raise InvalidInputError(
            f"{what} must be 1 to 63 of a-z, 0-9 and '-', not {value[:80]!r}",
        )
    return value


def job_requested(kind: str, tenant: str, job_id: str) -> str:
    """Subject of the order for one job."""
    return f"job.requested.{_kind(kind)}.{token(tenant, 'tenant')}.{token(job_id)}"


def job_resumed(kind: str, tenant: str, job_id: str) -> str:
    """Subject of the wish that a paused or ended job runs again."""
    return f"job.resumed.{_kind(kind)}.{token(tenant, 'tenant')}.{token(job_id)}"


def job_control(job_id: str) -> str:
    """Subject of what somebody wishes a job to do."""
    return f"job.control.{token(job_id)}"


def job_state(job_id: str) -> str:
    """Subject of a job's state, the only record of where it stands."""
    return f"job.state.{token(job_id)}"


def job_progress(job_id: str) -> str:
    """Subject of a job's progress."""
    return f"job.progress.{token(job_id)}"


def file_state(file_id: str) -> str:
    """Subject of an uploaded file's record."""
    return f"file.state.{token(file_id)}"


def alias_state(tenant: str, name: str) -> str:
    """Subject of the version that an alias names."""
    return f"alias.state.{token(tenant, 'tenant')}.{token(name, 'alias')}"


def policy_state(tenant: str) -> str:
    """Subject of the policy in force for a tenant."""
    return f"policy.state.{token(tenant, 'tenant')}"


def key_state(key_id: str) -> str:
    """Subject of an API key's record."""
    return f"key.state.{token(key_id)}"


def budget_state(budget_id: str) -> str:
    """Subject of a budget's record."""
    return f"budget.state.{token(budget_id)}"


def usage_recorded(tenant: str) -> str:
    """Subject of the requests that a tenant made."""
    return f"usage.recorded.{token(tenant, 'tenant')}"


def feedback_recorded(tenant: str) -> str:
    """Subject of what a tenant's people said about answers."""
    return f"feedback.recorded.{token(tenant, 'tenant')}"


def audit(service: str) -> str:
    """Subject of a service's audit trail, for example `audit.moderation`."""
    return f"audit.{token(service, 'service')}"


def snapshot_state(model: str) -> str:
    """Subject of the newest snapshot of a read model."""
    return f"snapshot.state.{token(model, 'model')}"


def snapshot_part(model: str, snapshot_id: str) -> str:
    """Subject of the pieces of one snapshot."""
    return f"snapshot.part.{token(model, 'model')}.{token(snapshot_id)}"


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise InvalidInputError(f"kind must be one of {', '.join(KINDS)}, not {kind[:80]!r}")
    return kind
