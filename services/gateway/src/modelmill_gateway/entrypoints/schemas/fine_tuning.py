"""Fine-tuning jobs: OpenAI's fields and every choice of our trainer, and checkpoints of jobs."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1 import job_pb2
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2 import (
    HyperParameters,
    TeacherAnswers,
    TrainingLimits,
)
from modelmill_job_index.index import JobEvent as IndexedEvent
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import InvalidInputError
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import (
    DatasetId,
    FileId,
    ResponseModel,
    Tenant,
    UnixSeconds,
    VersionId,
)
from modelmill_gateway.entrypoints.schemas.jobs import (
    AnyJob,
    job_fields,
    seconds_of,
    trained_tokens,
)
from modelmill_gateway.entrypoints.schemas.parsing import (
    JobBody,
    Metadata,
    StrictBody,
)
from modelmill_gateway.entrypoints.schemas.training_choices import (
    DistributionBody,
    HyperParametersBody,
    PreferenceParametersBody,
    TeacherAnswersBody,
    TrainingLimitsBody,
)
from modelmill_gateway.ordering.find_file import result_file_of
from modelmill_gateway.ordering.fine_tuning_order import FineTuningOrder

TrainingMethod = Literal["lora", "full", "prefix", "prompt", "qlora", "auto"]
Objective = Literal["answers", "text", "dpo", "kto", "distillation"]
OWN_NAMES = {"n_epochs": "epochs", "beta": "preference_beta"}
"""The trainer's names of OpenAI's."""


CALLERS_NAMES = {
    "base_version_id": "model",
    "adapter_version_id": "model",
    "dataset_id": "training_file",
    "validation_dataset_id": "validation_file",
    "teacher_version_id": "teacher",
}
"""The body's names of the trainer's."""
_TRAINERS_NAME = re.compile(rf"\b({'|'.join(CALLERS_NAMES)})\b")


def in_callers_words(error: str) -> str:
    """What the trainer says is wrong, with the body's names of fields."""
    return _TRAINERS_NAME.sub(lambda found: CALLERS_NAMES[found[1]], error)


class SupervisedBody(StrictBody):
    """Supervised fine-tuning."""

    hyperparameters: HyperParametersBody = HyperParametersBody()


class PreferenceBody(StrictBody):
    """Direct preference optimization."""

    hyperparameters: PreferenceParametersBody = PreferenceParametersBody()


class MethodBody(StrictBody):
    """Training method in OpenAI's newer form."""

    type: Literal["supervised", "dpo"]
    supervised: SupervisedBody | None = None
    dpo: PreferenceBody | None = None


class FineTuningBody(JobBody):
    """Request body of POST /v1/fine_tuning/jobs. Ours: `training_method`, `objective`, `teacher`,
    `teacher_answers`, `evaluate`, `limits` and `priority`.
    """

    model: str = Field(
        min_length=1,
        max_length=256,
        description="Base, fine-tuned model or adapter to train: alias, version id or name.",
        examples=["smollm2-135m"],
    )
    training_file: str = Field(
        min_length=1,
        max_length=128,
        description="file-… of conversations, or ds-…",
        examples=["ds-7be014"],
    )
    suffix: str | None = Field(
        None, min_length=1, max_length=64, description="Name of the new model.", examples=["kinds"]
    )
    seed: int | None = Field(
        None, gt=0, lt=2**64, description="Seed of data order, initialisation and dropout."
    )
    hyperparameters: HyperParametersBody = Field(
        HyperParametersBody(),
        examples=[{"n_epochs": 2, "learning_rate": 0.0003, "lora_rank": 16}],
    )
    method: MethodBody | None = None
    training_method: TrainingMethod = Field(
        "lora", description="Training method: which weights change."
    )
    objective: Objective | None = Field(
        None, description="Training objective; defaults to answers, or to what `method` says."
    )
    teacher: str | None = Field(
        None, min_length=1, max_length=256, description="Teacher model, for distillation."
    )
    teacher_answers: TeacherAnswersBody | None = None
    evaluate: bool = Field(
        True, description="Whether base and tuned model are scored on the test split."
    )
    limits: TrainingLimitsBody = TrainingLimitsBody()
    distribution: DistributionBody | None = None
    validation_file: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Validation data, as training_file; replaces the valid split.",
    )
    integrations: list[None] | None = Field(None, max_length=0)
    metadata: Metadata | None = None


def order_from(body: FineTuningBody) -> FineTuningOrder:
    """The order in a body.

    Raises:
        InvalidInputError: something is given twice with different values; lists all.
    """
    errors: list[str] = []
    objective = _objective(body, errors)
    chosen = _chosen(body, errors)
    if errors:
        raise InvalidInputError(errors)
    if body.seed is not None:
        chosen["seed"] = body.seed
    return FineTuningOrder(
        model=body.model,
        training_file=body.training_file,
        name=body.suffix or "",
        method=pb.TrainingMethod.Value(f"TRAINING_METHOD_{body.training_method.upper()}"),
        objective=pb.TrainingObjective.Value(f"TRAINING_OBJECTIVE_{objective.upper()}"),
        teacher=body.teacher or "",
        teacher_answers=_asking(body.teacher_answers),
        hyper_parameters=HyperParameters(**chosen),
        evaluate=body.evaluate,
        limits=TrainingLimits(**body.limits.model_dump(exclude_none=True)),
        validation_file=body.validation_file or "",
        metadata=body.metadata or {},
        distribution=None if body.distribution is None else body.distribution.message(),
        priority=body.job_priority,
    )


def _asking(body: TeacherAnswersBody | None) -> TeacherAnswers | None:
    return None if body is None else TeacherAnswers(**body.model_dump(exclude_none=True))


def _objective(body: FineTuningBody, errors: list[str]) -> Objective:
    """What becomes smaller, by our field or by OpenAI's `method`."""
    method = body.method
    if method is None:
        return body.objective or "answers"
    other = "supervised" if method.type == "dpo" else "dpo"
    if getattr(method, other) is not None:
        errors.append(f"method.{other}: method.type is {method.type!r}")
    if method.type == "dpo":
        if body.objective not in (None, "dpo"):
            errors.append(f"objective: method.type is 'dpo', objective is {body.objective!r}")
        return "dpo"
    if body.objective in ("dpo", "kto"):
        errors.append(f"objective: method.type is 'supervised', objective is {body.objective!r}")
    return body.objective or "answers"


def _chosen(body: FineTuningBody, errors: list[str]) -> dict[str, Any]:
    """Every hyper-parameter that is set, under the trainer's names."""
    given: list[HyperParametersBody] = [body.hyperparameters]
    if body.method is not None:
        newer = body.method.supervised, body.method.dpo
        given += [one.hyperparameters for one in newer if one is not None]
    chosen: dict[str, Any] = {}
    for parameters in given:
        for name, value in parameters.model_dump(exclude_none=True).items():
            name = OWN_NAMES.get(name, name)
            if chosen.setdefault(name, value) != value:
                errors.append(f"hyperparameters.{name}: given twice with different values")
    return chosen


TuningId = Annotated[str, Field(examples=["ftjob-c81e5d"])]
_UNDER_OTHER_NAMES = ("epochs", "seed", "search_learning_rate")
ID_CHARS = 24
CHOSEN = {
    "n_epochs": 2,
    "batch_size": "auto",
    "learning_rate_multiplier": "auto",
    "learning_rate": 0.0003,
    "lora_rank": 16,
}
"""An example."""


class MethodChoices(ResponseModel):
    """Hyper-parameters of a training method."""

    hyperparameters: dict[str, Any] = Field(examples=[CHOSEN])


class Method(ResponseModel):
    """Training method in OpenAI's newer form; has the field that `type` names."""

    type: Literal["supervised", "dpo"]
    supervised: MethodChoices | None = Field(None, examples=[{"hyperparameters": CHOSEN}])
    dpo: MethodChoices | None = None


class FineTuningJob(AnyJob):
    """Fine-tuning job as OpenAI has it, with what jobs of every kind show and the fields from
    `training_method` on. `method_reason` says why training method `auto` became what it is."""

    id: TuningId = Field(validation_alias="job_id")
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    model: VersionId
    fine_tuned_model: VersionId | None = Field(examples=[None])
    organization_id: Tenant = Field(validation_alias="tenant")
    training_file: DatasetId
    validation_file: str | None
    result_files: list[FileId]
    seed: int
    trained_tokens: int | None
    hyperparameters: dict[str, Any] = Field(examples=[CHOSEN])
    method: Method
    user_provided_suffix: str | None = Field(examples=["kinds"])
    integrations: list[None]
    metadata: dict[str, str] | None
    estimated_finish: int | None = Field(examples=[1764000095])
    training_method: str = Field(examples=["lora"])
    method_reason: str | None
    objective: str = Field(examples=["answers"])
    teacher: str | None
    teacher_answers: dict[str, float] | None

    @classmethod
    def of_record(cls, record: JobRecord, training_file: str, validation_file: str) -> Self:
        """A training job as it stands, with the files that its datasets are made from."""
        requested, state = record.requested, record.state
        spec = MessageToDict(requested.spec)
        objective = _word(spec, "objective", "TRAINING_OBJECTIVE_", "answers")
        hyperparameters, file_id = _hyper_parameters(spec, state), result_file_of(record)
        way = "dpo" if objective == "dpo" else "supervised"
        return cls.of(
            state,
            requested,
            **job_fields(record),
            model=spec.get("adapter_version_id") or spec.get("base_version_id", ""),
            fine_tuned_model=state.result.version_id or None,
            training_file=training_file,
            validation_file=validation_file or None,
            result_files=[file_id] if file_id else [],
            seed=int(spec.get("hyper_parameters", {}).get("seed", 0)),
            trained_tokens=trained_tokens(record),
            hyperparameters=hyperparameters,
            method={"type": way, way: {"hyperparameters": hyperparameters}},
            user_provided_suffix=spec.get("name"),
            integrations=[],
            metadata=spec.get("metadata"),
            estimated_finish=_estimated_finish(record),
            training_method=_word(spec, "method", "TRAINING_METHOD_", "lora"),
            method_reason=spec.get("method_reason"),
            objective=objective,
            teacher=spec.get("teacher_version_id"),
            teacher_answers=spec.get("teacher_answers"),
        )


def _hyper_parameters(spec: dict[str, Any], state: job_pb2.JobState) -> dict[str, Any]:
    """All choices of a training job: the caller's, the trainer's once it has ended, and those that
    are left open."""
    summary = state.result.summary
    decided = MessageToDict(summary)["chosen"] if "chosen" in summary.fields else {}
    chosen = spec.get("hyper_parameters", {}) | decided
    searched = chosen.get("search_learning_rate", False)
    return {
        "n_epochs": chosen.get("epochs", "auto"),
        "batch_size": "auto",
        "learning_rate": "search" if searched else "auto",
        "learning_rate_multiplier": "auto",
        **{name: value for name, value in chosen.items() if name not in _UNDER_OTHER_NAMES},
    }


def _word(spec: dict[str, Any], field: str, prefix: str, default: str) -> str:
    """A value of an enumeration as callers write it."""
    return str(spec[field]).removeprefix(prefix).lower() if field in spec else default


def _estimated_finish(record: JobRecord) -> int | None:
    progress = record.progress
    running = record.state.status == job_pb2.JOB_STATUS_RUNNING
    if not running or progress is None or progress.eta_seconds < 0:
        return None
    return int(progress.at.seconds + progress.eta_seconds)


class CheckpointMetrics(ResponseModel):
    """Metrics of a checkpoint, where they are known; token accuracies are not."""

    step: int = Field(examples=[120])
    train_loss: float | None = Field(examples=[1.21])
    train_mean_token_accuracy: None
    valid_loss: float | None = Field(examples=[1.34])
    valid_mean_token_accuracy: None
    full_valid_loss: float | None = Field(examples=[1.33])
    full_valid_mean_token_accuracy: None


class Checkpoint(ResponseModel):
    """The model of a job that has succeeded; until then a state to go on from, which names no model
    and cannot be asked."""

    id: str = Field(examples=["ftckpt-4c1f"])
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: UnixSeconds
    fine_tuned_model_checkpoint: VersionId | None
    fine_tuning_job_id: TuningId
    step_number: int = Field(examples=[120])
    metrics: CheckpointMetrics


def checkpoints_of(record: JobRecord, events: Sequence[IndexedEvent]) -> list[Checkpoint]:
    """What the job has saved, newest first.

    A job that has succeeded keeps nothing but its model, which is then its only checkpoint: where
    its weights are the best of several steps, as of that step.

    Args:
        events: of the job, oldest first; they have the figures of its steps.
    """
    state, figures = record.state, record.state.result.summary.fields
    if state.status != job_pb2.JOB_STATUS_SUCCEEDED:
        saved = [it for it in (state.checkpoint, state.checkpoint_before) if it.digest]
        return [_checkpoint(record, it.digest, it.step, events) for it in saved]
    step = next((figures[name] for name in ("best_step", "steps") if name in figures), None)
    number = int(step.number_value) if step is not None else 0
    loss = figures["valid_loss"].number_value if "valid_loss" in figures else None
    result = state.result
    return [_checkpoint(record, result.digest, number, events, result.version_id, loss)]


def _checkpoint(
    record: JobRecord,
    digest: str,
    step: int,
    events: Sequence[IndexedEvent],
    version_id: str = "",
    full_valid_loss: float | None = None,
) -> Checkpoint:
    reports = [
        (event.at, event.body)
        for event in events
        if isinstance(event.body, job_pb2.JobProgress)
        and (event.body.phase, event.body.done) == ("train", step)
    ]
    at, report = reports[-1] if reports else (None, job_pb2.JobProgress())
    return Checkpoint(
        id=f"ftckpt-{digest.rpartition(':')[2][:ID_CHARS]}",
        created_at=seconds_of(at) if at else record.state.updated_at.seconds,
        fine_tuned_model_checkpoint=version_id or None,
        fine_tuning_job_id=record.requested.job_id,
        step_number=step,
        metrics=CheckpointMetrics(
            step=step,
            train_loss=report.metrics.get("loss"),
            train_mean_token_accuracy=None,
            valid_loss=report.metrics.get("valid_loss"),
            valid_mean_token_accuracy=None,
            full_valid_loss=full_valid_loss,
            full_valid_mean_token_accuracy=None,
        ),
    )
