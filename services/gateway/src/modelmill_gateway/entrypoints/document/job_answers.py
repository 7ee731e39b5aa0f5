"""Shapes of jobs and of what happens to them."""

from typing import Any, Literal

from modelmill_gateway.entrypoints.document.shape import Answer, Page

Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
DesiredState = Literal["run", "pause", "cancel"]
Priority = Literal["low", "normal", "high"]


class JobFailure(Answer):
    """Failure of a job: cause and remedy."""

    code: str
    message: str
    param: None
    remedy: str
    log_tail: str
    """The last lines of its log, at most 20 and 4 KB."""


class JobProgressReport(Answer):
    """Latest progress report of the worker; `total` 0 means unknown."""

    phase: str
    done: int
    total: int
    unit: str
    metrics: dict[str, float]
    eta_seconds: float | None
    at: int


class JobCost(Answer):
    """Cost of a job so far: seconds from claim to end over all attempts."""

    work_seconds: float
    attempts: int
    trained_tokens: int | None


class OrderAndTurn(Answer):
    """Who asked, when its turn comes, and what it took so far.

    `queue_position` 1 is next among the jobs of its kind; null when it does not wait, or fits no
    worker that was seen, which `waiting_reason` says.
    """

    requested_by: str
    spec_sha256: str | None
    priority: Priority
    queue_position: int | None
    estimated_start: int | None
    waiting_reason: str | None
    cost: JobCost


class JobOutcome(Answer):
    """Result of a job."""

    digest: str
    version_id: str | None
    summary: dict[str, Any]


class Job(OrderAndTurn):
    """Job of any kind. `desired_state` is its desired state; it differs from `status` until the
    worker has acted.
    """

    id: str
    object: Literal["job"]
    kind: str
    status: Status
    desired_state: DesiredState
    created_at: int
    started_at: int | None
    finished_at: int | None
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
    """Page of builds, newest first."""


class Evaluation(Job):
    """Evaluation of a model; `result.summary` has the metrics once it has succeeded."""

    object: Literal["evaluation"]  # type: ignore[assignment]
    model: str
    compare_to: str | None
    dataset_id: str | None


class EvaluationPage(Page[Evaluation]):
    """Page of evaluations, newest first."""


class MethodChoices(Answer):
    """Hyper-parameters of a training method."""

    hyperparameters: dict[str, Any]


class Method(Answer):
    """Training method in OpenAI's newer form; has the field that `type` names."""

    type: Literal["supervised", "dpo"]
    supervised: MethodChoices | None = None
    dpo: MethodChoices | None = None


class FineTuningJob(OrderAndTurn):
    """A training job. Ours: from `progress` on, and what `OrderAndTurn` has. `method_reason` says
    why training method `auto` became what it is."""

    id: str
    object: Literal["fine_tuning.job"]
    created_at: int
    finished_at: int | None
    status: Status
    model: str
    fine_tuned_model: str | None
    organization_id: str
    training_file: str
    validation_file: str | None
    result_files: list[str]
    seed: int
    trained_tokens: int | None
    hyperparameters: dict[str, Any]
    method: Method
    user_provided_suffix: str | None
    integrations: list[None]
    metadata: dict[str, str] | None
    estimated_finish: int | None
    error: JobFailure | None
    progress: JobProgressReport | None
    result: JobOutcome | None
    desired_state: DesiredState
    training_method: str
    method_reason: str | None
    objective: str
    teacher: str | None
    teacher_answers: dict[str, float] | None


class FineTuningJobPage(Page[FineTuningJob]):
    """Training jobs, newest first."""


class JobEvent(Answer):
    """Event of a job. A stream continues after its `id`."""

    id: str
    object: Literal["job.event", "fine_tuning.job.event"]
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class JobEventPage(Page[JobEvent]):
    """Events, newest first."""
