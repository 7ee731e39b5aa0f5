"""Shapes of jobs and of what happens to them."""

from typing import Any, Literal

from gateway.entrypoints.document.shape import Answer, Page

Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Wish = Literal["run", "pause", "cancel"]


class JobFailure(Answer):
    """Why a job failed, and what to do about it."""

    code: str
    message: str
    param: None
    remedy: str


class JobProgressReport(Answer):
    """The latest report of the worker. `total` 0 is unknown."""

    phase: str
    done: int
    total: int
    unit: str
    metrics: dict[str, float]
    eta_seconds: float | None
    at: int


class JobOutcome(Answer):
    """What a job made."""

    digest: str
    version_id: str | None
    summary: dict[str, Any]


class Job(Answer):
    """A job of any kind. `wish` differs from `status` until the worker has acted."""

    id: str
    object: Literal["job"]
    kind: str
    status: Status
    wish: Wish
    created_at: int
    started_at: int | None
    finished_at: int | None
    requested_by: str
    attempt: int
    failures: int
    lost: int
    preemptions: int
    checkpoint_step: int | None
    progress: JobProgressReport | None
    spec: dict[str, Any]
    result: JobOutcome | None
    error: JobFailure | None


class JobPage(Page[Job]):
    """Jobs, newest first."""


class Optimization(Job):
    """A build of a smaller, faster form; `version_id` is set when it has succeeded."""

    object: Literal["optimization"]  # type: ignore[assignment]
    source_version_id: str
    target_form: str
    version_id: str | None


class OptimizationPage(Page[Optimization]):
    """Builds, newest first."""


class SupervisedMethod(Answer):
    """The only way of training that is offered."""

    hyperparameters: dict[str, Any]


class Method(Answer):
    """How it trains, in OpenAI's newer form."""

    type: Literal["supervised"]
    supervised: SupervisedMethod


class FineTuningJob(Answer):
    """A training job. Ours: `progress`, `result` and `wish`."""

    id: str
    object: Literal["fine_tuning.job"]
    created_at: int
    finished_at: int | None
    status: Status
    model: str
    fine_tuned_model: str | None
    organization_id: str
    training_file: str
    validation_file: None
    result_files: list[str]
    seed: int
    trained_tokens: int | None
    hyperparameters: dict[str, Any]
    method: Method
    user_provided_suffix: str | None
    integrations: list[None]
    metadata: None
    estimated_finish: int | None
    error: JobFailure | None
    progress: JobProgressReport | None
    result: JobOutcome | None
    wish: Wish


class FineTuningJobPage(Page[FineTuningJob]):
    """Training jobs, newest first."""


class JobEvent(Answer):
    """Something that happened. `id` is what a stream goes on after."""

    id: str
    object: Literal["job.event", "fine_tuning.job.event"]
    created_at: int
    level: Literal["info", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class JobEventPage(Page[JobEvent]):
    """Events, newest first."""
