"""The only table of streams, subjects and the messages they carry.

Every subject that leaves this process is built or checked here, so that no text of a caller can
reach the wire as a wildcard, a second token or a line break.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import (
    BudgetState,
    ChangeRecorded,
    EvalState,
    ExperimentState,
    ExperimentUnits,
    FeedbackRecorded,
    KeyState,
    LogKey,
    LogSegment,
    TenantErased,
    TenantState,
    UsageBatch,
    WebhookAttempt,
    WebhookDue,
    WebhookState,
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
from modelmill_service_kit.errors import InvalidInputError

from modelmill_bus.kinds import KINDS, OWNER_OF, work_consumer

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
        eraser: the only service that may erase single messages: those of a tenant that is deleted.
        schema: version of what its messages mean. A release that cannot read those of the one
            before raises it, and has a migration (`mill state upgrade`).
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
    eraser: str = "gateway"
    consumers: tuple[Durable, ...] = ()
    schema: int = 1

    @cached_property
    def subjects(self) -> Mapping[str, type[Message]]:
        """Bodies by template."""
        return {row.template: row.body for row in self.rows}

    @cached_property
    def taken(self) -> tuple[str, ...]:
        """Subjects as the broker has them: a single one is taken with its family, `model.*`.

        A push consumer delivers only where somebody, as a stream does, subscribes to one subject.
        """
        return tuple(dict.fromkeys(map(family_of, self.subjects)))


def family_of(template: str) -> str:
    """The template, with `*` as its last part where it has ids nowhere."""
    return template if "*" in template else f"{template.rpartition('.')[0]}.*"


GATEWAY = ("gateway",)
READERS = ("gateway", "cli")
ERASERS = ("data-prep", "gateway", "moderation", "trainer")
"""Services that erase, each in its own streams, what a tenant has that is deleted."""

WEBHOOK_STATE = Row("webhook.state.{webhook_id}", WebhookState, GATEWAY, READERS)

JOBS_TOLD = Durable("gateway-webhook-jobs", "gateway", "job.state.*")
MODELS_TOLD = Durable("gateway-webhook-models", "gateway", "model.ready")
DATASETS_TOLD = Durable("gateway-webhook-datasets", "gateway", "dataset.ready")
"""Consumers of facts that endpoints are told."""
DELIVERIES = Durable("gateway-webhooks", "gateway", "webhook.due.*")

WEBHOOK_STREAMS = (
    Stream(
        "WEBHOOKS",
        (Row("webhook.due.{webhook_id}", WebhookDue, GATEWAY, READERS),),
        max_bytes=256 * MIB,
        # Longer than the longest wait for an attempt; each attempt begins a message of its own.
        max_age_seconds=96 * HOUR_SECONDS,
        work_queue=True,
        # An endpoint that is away for days takes no room from others.
        max_per_subject=10_000,
        consumers=(DELIVERIES,),
    ),
    Stream(
        "DELIVERIES",
        (Row("webhook.attempt.{webhook_id}", WebhookAttempt, GATEWAY, READERS),),
        max_bytes=64 * MIB,
        max_age_seconds=96 * HOUR_SECONDS,
        lossy=True,
        max_per_subject=100,
    ),
)


POLICY_VERSIONS = 50
"""Of one owner: the oldest goes when another comes. A version has at most 900 kB."""

CONFIG_STREAMS = (
    Stream(
        "CONFIG",
        (
            Row(
                "alias.state.{tenant}.{name}",
                AliasState,
                GATEWAY,
                ("gateway", "trainer", "inference", "cli"),
            ),
            WEBHOOK_STATE,
        ),
        max_bytes=64 * MIB,
    ),
    Stream(
        "POLICIES",
        (
            Row(
                "policy.state.{tenant}",
                PolicyState,
                ("moderation",),
                ("moderation", "gateway", "cli"),
            ),
        ),
        max_bytes=512 * MIB,
        max_per_subject=POLICY_VERSIONS,
        eraser="moderation",
    ),
    Stream(
        # One record of a key, so that in a full stream one can still be revoked: its record
        # becomes shorter, and takes the place of the one before.
        "KEYS",
        (Row("key.state.{key_id}", KeyState, GATEWAY, READERS),),
        max_bytes=64 * MIB,
        max_per_subject=1,
        forgets=True,
    ),
    Stream(
        "EVALS",
        (Row("eval.state.{eval_id}", EvalState, GATEWAY, READERS),),
        max_bytes=128 * MIB,
        max_per_subject=1,
        forgets=True,
    ),
    Stream(
        # Whole, as decisions can be replayed; a key that was counted takes some hundred bytes.
        "EXPERIMENTS",
        (
            Row("experiment.state.{experiment_id}", ExperimentState, GATEWAY, READERS),
            Row("experiment.units.{experiment_id}", ExperimentUnits, GATEWAY, READERS),
        ),
        max_bytes=256 * MIB,
    ),
    Stream(
        # Every replica writes to every budget in use some times a minute; only the last counts.
        "BUDGETS",
        (Row("budget.state.{budget_id}", BudgetState, GATEWAY, READERS),),
        max_bytes=256 * MIB,
        max_per_subject=4,
    ),
    Stream(
        "TENANTS",
        (Row("tenant.state.{tenant}", TenantState, GATEWAY, (*ERASERS, "cli")),),
        max_bytes=64 * MIB,
        max_per_subject=1,
    ),
    Stream(
        # Emptied of a tenant once its deletion is done.
        "ERASURES",
        (Row("tenant.erased.{tenant}.{service}", TenantErased, ERASERS, (*ERASERS, "cli")),),
        max_bytes=16 * MIB,
    ),
)


CHANGES = Stream(
    "CHANGES",
    (Row("change.recorded.{tenant}", ChangeRecorded, ("gateway",), ("gateway", "cli")),),
    max_bytes=64 * MIB,
    max_age_seconds=365 * DAY_SECONDS,
)


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
        eraser="trainer",
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
        eraser="trainer",
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
        eraser="trainer",
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
        eraser="data-prep",
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
        # Of texts only where they lie; who keeps what, and for how long, is the gateway's to know.
        "LOGS",
        (
            Row("log.segment.{tenant}", LogSegment, GATEWAY, READERS),
            Row("log.key.{tenant}.{user}", LogKey, GATEWAY, READERS),
        ),
        max_bytes=512 * MIB,
    ),
    Stream(
        "AUDIT",
        (
            Row(
                "audit.{service}",
                ModerationRecorded,
                ("moderation", "gateway"),
                ("moderation", "cli"),
            ),
        ),
        max_bytes=256 * MIB,
        eraser="moderation",
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
    """Subject of the request that a paused or ended job runs again."""
    return f"job.resumed.{_kind(kind)}.{token(tenant, 'tenant')}.{token(job_id)}"


def job_control(job_id: str) -> str:
    """Subject of a job's desired state."""
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


def tenant_state(tenant: str) -> str:
    """Subject of a tenant's record."""
    return f"tenant.state.{token(tenant, 'tenant')}"


def tenant_erased(tenant: str, service: str) -> str:
    """Subject of how far a service is with erasing a tenant."""
    return f"tenant.erased.{token(tenant, 'tenant')}.{token(service, 'service')}"


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


def change_recorded(tenant: str) -> str:
    """Subject of what a tenant's people changed."""
    return f"change.recorded.{token(tenant, 'tenant')}"


def eval_state(eval_id: str) -> str:
    """Subject of how answers are graded."""
    return f"eval.state.{token(eval_id)}"


def log_segment(tenant: str) -> str:
    """Subject of what a tenant logs."""
    return f"log.segment.{token(tenant)}"


def log_key(tenant: str, user: str) -> str:
    """Subject of what the texts of one user are sealed by."""
    return f"log.key.{token(tenant)}.{token(user)}"


def experiment_state(experiment_id: str) -> str:
    """Subject of an experiment's record."""
    return f"experiment.state.{token(experiment_id)}"


def experiment_units(experiment_id: str) -> str:
    """Subject of the keys that an experiment has counted."""
    return f"experiment.units.{token(experiment_id)}"


def webhook_state(webhook_id: str) -> str:
    """Subject of a webhook endpoint's record."""
    return f"webhook.state.{token(webhook_id)}"


def webhook_due(webhook_id: str) -> str:
    """Subject of the events that wait for a webhook endpoint."""
    return f"webhook.due.{token(webhook_id)}"


def webhook_attempt(webhook_id: str) -> str:
    """Subject of what came of the attempts to reach a webhook endpoint."""
    return f"webhook.attempt.{token(webhook_id)}"
