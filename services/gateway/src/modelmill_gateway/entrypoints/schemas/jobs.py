"""Jobs of every kind, and builds: where they stand, when their turn comes, and what happened."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_bus.envelope import text_of
from modelmill_job_index.index import JobEvent as IndexedEvent
from modelmill_job_index.index import JobRecord
from pydantic import BeforeValidator, Field, model_validator

from modelmill_gateway.entrypoints.schemas.base import (
    Digest,
    JobId,
    OrNull,
    ResponseModel,
    UnixSeconds,
    User,
    VersionId,
)
from modelmill_gateway.entrypoints.schemas.parsing import JobBody, StrictBody
from modelmill_gateway.ordering.order_job import DEFAULT_FORM, PRUNED_FORM

MAX_LINES = 20
MAX_BYTES = 4096


def shown_tail(log: str) -> str:
    """The last 20 lines, and of these the last 4 KB.

    They go to the job's own tenant and nowhere else: they may quote rows of a training file.
    """
    lines = "\n".join(log.splitlines()[-MAX_LINES:])
    return lines.encode()[-MAX_BYTES:].decode(errors="ignore")


def words(values: Any, prefix: str) -> dict[int, Any]:
    """Names of an enumeration's values, without prefix and in lower case; 0 has none."""
    return {it: name.removeprefix(prefix).lower() for name, it in values.items() if it}


STATUS = words(pb.JobStatus, "JOB_STATUS_")
"""Our states under OpenAI's names; they differ from ours in nothing but the missing prefix."""
DESIRED_STATE = words(pb.JobDesiredState, "JOB_DESIRED_STATE_")
"""Differs from the state until the worker has acted."""
PRIORITY = words(pb.JobPriority, "JOB_PRIORITY_") | {pb.JOB_PRIORITY_UNSPECIFIED: "normal"}
Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
DesiredState = Literal["run", "pause", "cancel"]
Eta = Annotated[float | None, BeforeValidator(lambda it: it if it >= 0 else None)]
"""Seconds; a worker says -1 where it does not know."""


class JobFailure(ResponseModel):
    """Failure of a job: cause and remedy."""

    code: str
    message: str
    param: None
    remedy: str
    log_tail: Annotated[str, BeforeValidator(shown_tail)]
    """The last lines of its log, at most 20 and 4 KB."""

    @classmethod
    def of_state(cls, state: pb.JobState) -> Self | None:
        """Why it failed, with the end of its log: the data in it are the reader's own."""
        return cls.of(state.error, param=None) if state.error.code else None


class JobProgressReport(ResponseModel):
    """Latest progress report of the worker; `total` 0 means unknown."""

    phase: str
    done: int
    total: int
    unit: str
    metrics: dict[str, float]
    eta_seconds: Eta
    at: UnixSeconds


class JobCost(ResponseModel):
    """Cost of a job so far: seconds from claim to end over all attempts."""

    work_seconds: float = Field(examples=[41.5])
    attempts: int = Field(examples=[1])
    trained_tokens: int | None


class JobOutcome(ResponseModel):
    """Result of a job."""

    digest: Digest
    version_id: OrNull[VersionId]
    summary: dict[str, Any]

    @classmethod
    def of_state(cls, state: pb.JobState) -> Self | None:
        """What a job has made, once it has succeeded."""
        return cls.of(state.result) if state.status == pb.JOB_STATUS_SUCCEEDED else None


class AnyJob(ResponseModel):
    """What jobs of every kind show. `desired_state` differs from `status` until the worker has
    acted.

    `queue_position` 1 is next among the jobs of its kind; null when it does not wait, or fits no
    worker that was seen, which `waiting_reason` says.
    """

    id: JobId = Field(validation_alias="job_id")
    object: str
    status: Status
    desired_state: DesiredState
    created_at: UnixSeconds = Field(validation_alias="requested_at")
    finished_at: UnixSeconds | None = Field(examples=[None])
    requested_by: User
    spec_sha256: OrNull[str] = Field(examples=["9f2c41d07a"])
    priority: Literal["normal", "low", "high"]
    queue_position: int | None
    estimated_start: int | None
    waiting_reason: OrNull[str]
    cost: JobCost
    progress: JobProgressReport | None
    result: JobOutcome | None
    error: JobFailure | None


class Job(AnyJob):
    """Job of any kind. `desired_state` is its desired state; it differs from `status` until the
    worker has acted.
    """

    object: Literal["job"] = "job"
    kind: str = Field(examples=["optimize"])
    started_at: UnixSeconds | None = Field(examples=[None])
    attempt: int
    failures: int
    lost: int
    preemptions: int
    checkpoint_step: int | None
    spec: dict[str, Any] = Field(
        examples=[{"source_version_id": "mv-77aa01", "target_form": "openvino-int8"}]
    )

    @classmethod
    def of_record(cls, record: JobRecord) -> Self:
        """A job as it stands."""
        checkpoint = record.state.checkpoint
        step = checkpoint.step if checkpoint.digest else None
        fields = {**job_fields(record), **cls.more_of(record), "checkpoint_step": step}
        return cls.of(record.state, record.requested, **fields)

    @classmethod
    def more_of(cls, _record: JobRecord) -> dict[str, Any]:
        """What jobs of one kind have besides."""
        return {}


class JobEvent(ResponseModel):
    """Event of a job. A stream continues after its `id`."""

    id: str = Field(examples=["event-Zk3v9Q"])
    object: Literal["job.event", "fine_tuning.job.event"]
    created_at: UnixSeconds
    level: Literal["info", "warn", "error"]
    message: str = Field(examples=["train step 12/44: loss=1.31"])
    type: Literal["metrics", "message"]
    data: dict[str, Any] = Field(
        examples=[{"phase": "train", "step": 12, "total_steps": 44, "unit": "step", "loss": 1.31}]
    )

    @classmethod
    def of_event(cls, event: IndexedEvent, kind: str, shown_id: str) -> Self:
        """Something that happened."""
        body = event.body
        failed = isinstance(body, pb.JobState) and body.status == pb.JOB_STATUS_FAILED
        # What the end of a training run says that did not learn.
        advice = text_of(body.result.summary, "advice") if isinstance(body, pb.JobState) else ""
        return cls.model_validate(
            {
                "id": shown_id,
                "object": kind,
                "created_at": seconds_of(event.at),
                "level": "error" if failed else "warn" if advice else "info",
                "message": advice or event.message,
                "type": "metrics" if isinstance(body, pb.JobProgress) else "message",
                "data": _event_data(body),
            }
        )


def _event_data(body: Message) -> dict[str, Any]:
    """The figures of a report, the facts of a state; no owner, nonce or fence of a worker's."""
    if isinstance(body, pb.JobProgress):
        return {
            "phase": body.phase,
            "step": body.done,
            "total_steps": body.total,
            "unit": body.unit,
            "eta_seconds": body.eta_seconds if body.eta_seconds >= 0 else None,
            **body.metrics,
        }
    if isinstance(body, pb.JobState):
        error = JobFailure.of_state(body)
        return {
            "status": STATUS[body.status],
            "attempt": body.attempt,
            "error": error.as_dict() if error else None,
        }
    return {}


def job_fields(record: JobRecord) -> dict[str, Any]:
    """What jobs of every shape have, as far as no message says it."""
    state, turn = record.state, record.turn
    return {
        "status": STATUS[state.status],
        "desired_state": DESIRED_STATE[record.desired_state],
        "priority": PRIORITY[record.requested.priority],
        "queue_position": turn.position,
        "estimated_start": seconds_of(turn.starts_at) if turn.starts_at else None,
        "waiting_reason": turn.reason,
        "cost": JobCost(
            work_seconds=round(record.work_seconds, 3),
            attempts=state.attempt,
            trained_tokens=trained_tokens(record),
        ),
        "progress": record.progress,
        "result": JobOutcome.of_state(state),
        "error": JobFailure.of_state(state),
    }


def seconds_of(at: datetime) -> int:
    """Unix seconds of a time in UTC."""
    return int(at.replace(tzinfo=UTC).timestamp())


def trained_tokens(record: JobRecord) -> int | None:
    """Tokens that a training job read; None for other jobs, and before it has succeeded."""
    counted = record.state.result.summary.fields.get("train_tokens")
    return int(counted.number_value) if counted is not None else None


class ObjectiveBody(StrictBody):
    """What a model shall reach under the load: one figure, above 0."""

    p95_ms: float | None = Field(
        None, gt=0, description="Milliseconds of a whole answer, for 95 of 100 requests, at most."
    )
    first_token_ms: float | None = Field(
        None, gt=0, description="Milliseconds to the first token, the median, at most."
    )
    tokens_per_s: float | None = Field(
        None, gt=0, description="Answer tokens per second of all requests together, at least."
    )
    size_mb: float | None = Field(
        None, gt=0, description="Megabytes (10^6 bytes) of the model's files at most."
    )
    memory_mb: float | None = Field(
        None, gt=0, description="Megabytes of memory of the engine's process at most."
    )
    cost_per_1k_requests: float | None = Field(
        None,
        gt=0,
        description="Price of a thousand requests at most, by the machine's price per hour.",
    )

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"give exactly one of {', '.join(ObjectiveBody.model_fields)}")
        return self


class LoadBody(StrictBody):
    """Requests under which candidates are measured: all begun together, again and again."""

    prompt_tokens: int = Field(128, ge=1, le=32768, description="Tokens of each prompt.")
    output_tokens: int = Field(64, ge=1, le=4096, description="Tokens of each answer.")
    in_flight: int = Field(1, ge=1, le=256, description="Requests at a time.")


class PruningBody(StrictBody):
    """Parts that are cut away, the same number in each layer; at least one is more than 0."""

    heads: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the attention heads, in whole key-value groups.",
        examples=[0.33],
    )
    mlp: float = Field(
        0.0, ge=0, lt=1, description="Share of the MLP's columns, in multiples of 32."
    )
    layers: int = Field(
        0, ge=0, le=1024, description="How many layers; the first and the last stay."
    )


class OptimizationBody(JobBody):
    """Request body of POST /v1/optimizations: a form to build, or an objective to search for."""

    model: str = Field(
        min_length=1,
        max_length=256,
        description="Alias, version id or name; a build stands for what it was made from.",
        examples=["kinds"],
    )
    target_form: str = Field(
        DEFAULT_FORM,
        min_length=1,
        max_length=64,
        description=(
            "Form to build, such as openvino-int8 or gguf-q8_0; "
            "an unknown one is refused with a list."
        ),
        examples=["openvino-int8"],
    )
    pruning: PruningBody | None = Field(
        None,
        description="What target_form pruned cuts away; train the version that comes of it.",
    )
    prompt_lookup: Literal["auto", "on", "off"] | None = Field(
        None,
        description=(
            "Whether an OpenVINO form drafts by prompt lookup; "
            "auto: where its dataset showed a gain."
        ),
    )
    objective: ObjectiveBody | None = Field(
        None,
        description="In place of a form: forms are built and measured until one reaches it.",
    )
    load: LoadBody | None = Field(
        None, description="Under which load an objective holds; without it the defaults."
    )
    budget_seconds: int | None = Field(
        None,
        ge=60,
        le=604800,
        description="Seconds that the search for an objective may take; the default is 1800.",
    )
    dataset_id: str = Field(
        "",
        max_length=128,
        description=(
            "Dataset whose test split scores the model, and whose train split calibrates int4."
        ),
        examples=["ds-7be014"],
    )
    max_accuracy_loss: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "Largest accepted loss of accuracy; 0 means 0.02. More fails the build, or marks int4."
        ),
    )
    max_rows: int = Field(0, ge=0, lt=2**32, description="Maximum test rows to score; 0 means all.")

    def spec(self) -> BuildSpec:
        """As optimizer-builder takes it."""
        left_out = {"model", "priority"}
        if self.objective is not None and "target_form" not in self.model_fields_set:
            left_out.add("target_form")
        fields = self.model_dump(exclude=left_out, exclude_none=True)
        if self.pruning is not None and "target_form" not in self.model_fields_set:
            fields["target_form"] = PRUNED_FORM
        return BuildSpec(source_version_id=self.model, **fields)


class Optimization(Job):
    """A build of a smaller, faster form, or a search for one; `version_id` is set when it has
    succeeded. That of a search is the chosen one, which may be the source itself: its verdict is in
    the summary of `result`.
    """

    object: Literal["optimization"] = "optimization"  # type: ignore[assignment]
    source_version_id: str = Field(examples=["mv-77aa01"])
    target_form: OrNull[str] = Field(examples=["openvino-int8"])
    """None of a search."""
    objective: OrNull[dict[str, float]] = Field(examples=[None])
    version_id: OrNull[VersionId] = Field(examples=[None])

    @classmethod
    def more_of(cls, record: JobRecord) -> dict[str, Any]:
        """What it is built from, and what came of it."""
        spec = record.requested.spec
        return {
            "source_version_id": text_of(spec, "source_version_id"),
            "target_form": text_of(spec, "target_form"),
            "objective": MessageToDict(spec).get("objective"),
            "version_id": record.state.result.version_id,
        }
