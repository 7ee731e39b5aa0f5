"""The only table of streams, subjects and the messages they carry.

Every subject that leaves this process is built or checked here, so that no text of a caller can
reach the wire as a wildcard, a second token or a line break.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import FeedbackRecorded, UsageBatch
from modelmill.jobs.v1.job_pb2 import JobControl, JobProgress, JobRequested, JobResumed, JobState
from modelmill.jobs.v1.snapshot_pb2 import SnapshotPart, SnapshotState
from modelmill.moderation.v1.moderation_events_pb2 import ModerationRecorded
from modelmill.registry.v1.model_events_pb2 import (
    DatasetReady,
    DatasetRetired,
    FileState,
    ModelReady,
    ModelRetired,
    ModelServing,
)
from modelmill_service_kit.errors import InvalidInputError

from modelmill_jobs.change_rows import CHANGES
from modelmill_jobs.config_rows import CONFIG_STREAMS
from modelmill_jobs.kinds import KINDS, OWNER_OF, work_consumer
from modelmill_jobs.rows import DAY_SECONDS, HOUR_SECONDS, MIB, Durable, Row, Stream
from modelmill_jobs.webhook_rows import DATASETS_TOLD, JOBS_TOLD, MODELS_TOLD, WEBHOOK_STREAMS

TOKEN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""One part of a subject, always matched whole: lower case, digits, inner and trailing dashes."""

MODEL_READY = "model.ready"
MODEL_RETIRED = "model.retired"
MODEL_SERVING = "model.serving"
DATASET_READY = "dataset.ready"
DATASET_RETIRED = "dataset.retired"

DEFAULT_BUILDS = "optimizer-builder-default-build"
"""The durable consumer that orders a build of each new model."""

OWNERS_OF_JOBS = tuple(dict.fromkeys(OWNER_OF.values()))
READERS_OF_JOBS = (*OWNERS_OF_JOBS, "cli")
READERS_OF_MODELS = ("data-prep", "trainer", "optimizer-builder", "inference", "gateway", "cli")
READERS_OF_DATASETS = ("data-prep", "trainer", "optimizer-builder", "gateway", "cli")

STREAMS = (
    Stream(
        "JOBS",
        (
            Row(
                "job.requested.{kind}.{tenant}.{job_id}",
                JobRequested,
                OWNERS_OF_JOBS,
                READERS_OF_JOBS,
            ),
            Row(
                "job.resumed.{kind}.{tenant}.{job_id}", JobResumed, OWNERS_OF_JOBS, READERS_OF_JOBS
            ),
            Row("job.control.{job_id}", JobControl, OWNERS_OF_JOBS, READERS_OF_JOBS),
            Row("job.state.{job_id}", JobState, OWNERS_OF_JOBS, READERS_OF_JOBS),
        ),
        max_bytes=1024 * MIB,
        consumers=(
            JOBS_TOLD,
            *(
                Durable(work_consumer(owner, kind), owner, f"job.*.{kind}.>")
                for kind, owner in OWNER_OF.items()
            ),
        ),
    ),
    Stream(
        "PROGRESS",
        (Row("job.progress.{job_id}", JobProgress, OWNERS_OF_JOBS, READERS_OF_JOBS),),
        max_bytes=64 * MIB,
        max_age_seconds=HOUR_SECONDS,
        duplicate_window_seconds=120.0,
        lossy=True,
    ),
    Stream(
        "MODELS",
        (
            # `mill models import` announces what people bring in.
            Row(
                MODEL_READY,
                ModelReady,
                ("trainer", "optimizer-builder", "cli"),
                READERS_OF_MODELS,
                listeners=("observer",),
            ),
            Row(MODEL_RETIRED, ModelRetired, ("trainer",), READERS_OF_MODELS),
            Row(MODEL_SERVING, ModelServing, ("inference",), READERS_OF_MODELS),
        ),
        max_bytes=64 * MIB,
        consumers=(Durable(DEFAULT_BUILDS, "optimizer-builder", MODEL_READY), MODELS_TOLD),
    ),
    Stream(
        "DATASETS",
        (
            Row("file.state.{file_id}", FileState, ("data-prep",), ("data-prep", "trainer", "cli")),
            Row(DATASET_READY, DatasetReady, ("data-prep",), READERS_OF_DATASETS),
            Row(DATASET_RETIRED, DatasetRetired, ("data-prep",), READERS_OF_DATASETS),
        ),
        max_bytes=64 * MIB,
        consumers=(DATASETS_TOLD,),
    ),
    *CONFIG_STREAMS,
    *WEBHOOK_STREAMS,
    Stream(
        "USAGE",
        (Row("usage.recorded.{tenant}", UsageBatch, ("gateway",), ("gateway", "cli")),),
        max_bytes=256 * MIB,
    ),
    Stream(
        "FEEDBACK",
        (Row("feedback.recorded.{tenant}", FeedbackRecorded, ("gateway",), ("gateway", "cli")),),
        max_bytes=256 * MIB,
        # It may hold what people wrote, which is not kept for ever.
        max_age_seconds=365 * DAY_SECONDS,
    ),
    Stream(
        "AUDIT",
        (Row("audit.{service}", ModerationRecorded, ("moderation", "gateway"), ("cli",)),),
        max_bytes=256 * MIB,
    ),
    CHANGES,
    Stream(
        "SNAPSHOTS",
        (
            Row(
                "snapshot.part.{model}.{snapshot_id}",
                SnapshotPart,
                ("gateway",),
                ("gateway", "cli"),
            ),
            Row("snapshot.state.{model}", SnapshotState, ("gateway",), ("gateway", "cli")),
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


@lru_cache(maxsize=4096)
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
