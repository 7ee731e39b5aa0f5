"""Estimate of a fine-tuning job, as it is shown."""

from math import ceil
from typing import Literal, Self

from modelmill.trainer.v1.trainer_service_pb2 import TrainingMethod, TrainingObjective
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import OrNull, ResponseModel, VersionId
from modelmill_gateway.entrypoints.schemas.jobs import words
from modelmill_gateway.ordering.estimate_training import TrainingEstimate

METHOD = words(TrainingMethod, "TRAINING_METHOD_")
OBJECTIVE = words(TrainingObjective, "TRAINING_OBJECTIVE_")


class FineTuningEstimate(ResponseModel):
    """What a fine-tuning job would read, need and take. What is not known is null, and `notes` say
    why. `based_on` says whose time and memory it is: that of `earlier_job_ids`, or a rule.
    """

    object: Literal["fine_tuning.estimate"] = "fine_tuning.estimate"
    model: VersionId
    training_method: str = Field(examples=["lora"])
    method_reason: OrNull[str] = Field(examples=[None])
    objective: str = Field(examples=["answers"])
    train_rows: int | None = Field(examples=[704])
    test_rows: int = Field(examples=[88])
    n_epochs: float | None = Field(examples=[2])
    batch_size: int | None = Field(examples=[16])
    steps: int | None = Field(examples=[88])
    trained_tokens: int | None = Field(examples=[61952])
    seconds: float | None = Field(examples=[310.5])
    based_on: Literal["earlier_jobs", "rule"]
    earlier_job_ids: list[str] = Field(examples=[["ftjob-c81e5d"]])
    peak_memory_bytes: int = Field(examples=[2150000000])
    needed_memory_bytes: int = Field(examples=[2150000000])
    """What a worker must have to begin it."""
    worker_memory_bytes: int = Field(examples=[25000000000])
    """Of the largest worker that was seen."""
    waiting_reason: OrNull[str] = Field(examples=[None])
    notes: list[str] = Field(examples=[[]])
    note_codes: list[str] = Field(examples=[[]])
    """Codes of the notes, in the same order; empty where a note has none."""

    @classmethod
    def of_estimate(cls, estimate: TrainingEstimate) -> Self:
        """An estimate, as far as it is known."""
        sized, step = estimate.sized, estimate.step
        spec, is_known = sized.spec, sized.HasField("row_tokens")
        return cls(
            model=spec.adapter_version_id or spec.base_version_id,
            training_method=METHOD[spec.method],
            method_reason=spec.method_reason,
            objective=OBJECTIVE[spec.objective],
            train_rows=sized.train_rows if sized.HasField("train_rows") else None,
            test_rows=sized.test_rows,
            n_epochs=sized.epochs if is_known else None,
            batch_size=sized.batch_size if is_known else None,
            steps=ceil(sized.row_visits / sized.batch_size) if is_known else None,
            trained_tokens=step.tokens,
            seconds=step.seconds,
            based_on="earlier_jobs" if estimate.earlier_job_ids else "rule",
            earlier_job_ids=list(estimate.earlier_job_ids),
            peak_memory_bytes=step.memory_bytes or 0,
            needed_memory_bytes=sized.needs.memory_bytes,
            worker_memory_bytes=estimate.worker.largest.memory_bytes,
            waiting_reason=estimate.worker.waiting_reason,
            notes=[note.text for note in estimate.notes],
            note_codes=[note.code for note in estimate.notes],
        )
