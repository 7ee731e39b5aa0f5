"""Estimates of evaluations and builds, as they are shown."""

from typing import Literal, Self

from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import (
    DatasetId,
    ModelName,
    OrNull,
    ResponseModel,
    VersionId,
)
from modelmill_gateway.ordering.estimate_build import EstimatedBuild
from modelmill_gateway.ordering.estimate_evaluation import EstimatedEvaluation

SECONDS = "As the earlier jobs took, for these rows; null where none is like it."
EARLIER = "Jobs that time is taken from."
NOTE_CODES = "Codes of the notes, in the same order."
LARGEST = "Of the largest worker that was seen."


class EvaluationEstimate(ResponseModel):
    """What an evaluation would read, need and take. What is not known is null, and `notes` say
    why. Earlier evaluations count that measured the same versions by the same measures and tasks.
    """

    object: Literal["evaluation.estimate"] = "evaluation.estimate"
    model: ModelName
    compare_to: OrNull[ModelName]
    dataset_id: OrNull[DatasetId]
    rows: int | None = Field(description="Rows that each model is asked.", examples=[88])
    most_rows: int = Field(description="The same at most.", examples=[88])
    seconds: float | None = Field(description=SECONDS, examples=[41.5])
    earlier_job_ids: list[str] = Field(description=EARLIER, examples=[["job-c81e5d"]])
    needed_memory_bytes: int = Field(
        description="What a worker must have; the models run in the inference service.",
        examples=[536870912],
    )
    worker_memory_bytes: int = Field(description=LARGEST, examples=[25000000000])
    waiting_reason: OrNull[str] = Field(examples=[None])
    notes: list[str] = Field(examples=[[]])
    note_codes: list[str] = Field(description=NOTE_CODES, examples=[[]])

    @classmethod
    def of_estimate(cls, estimate: EstimatedEvaluation) -> Self:
        """An estimate, as far as it is known."""
        sized = estimate.sized
        return cls(
            model=sized.spec.model,
            compare_to=sized.spec.compare_to,
            dataset_id=sized.spec.dataset_id,
            rows=estimate.rows,
            most_rows=estimate.most_rows,
            seconds=estimate.seconds,
            earlier_job_ids=list(estimate.earlier_job_ids),
            needed_memory_bytes=sized.needs.memory_bytes,
            worker_memory_bytes=estimate.worker.largest.memory_bytes,
            waiting_reason=estimate.worker.waiting_reason,
            notes=[note.text for note in estimate.notes],
            note_codes=[note.code for note in estimate.notes],
        )


class OptimizationEstimate(ResponseModel):
    """What a build, or a search for one, would read, need and take. What is not known is null, and
    `notes` say why. Earlier builds count that made the same form from a version of the same base.
    """

    object: Literal["optimization.estimate"] = "optimization.estimate"
    model: VersionId
    target_form: OrNull[str] = Field(examples=["openvino-int8"])
    test_rows: int = Field(
        description="Test rows that are read to score it; 0 without a dataset.", examples=[88]
    )
    built_bytes: int | None = Field(
        description="As earlier builds are, else by the size of the weights.", examples=[136000000]
    )
    seconds: float | None = Field(description=SECONDS, examples=[95.5])
    most_seconds: int | None = Field(description="That a search may take.", examples=[None])
    earlier_job_ids: list[str] = Field(description=EARLIER, examples=[["job-c81e5d"]])
    needed_memory_bytes: int = Field(
        description="What a worker must have; of a search for its smallest part.",
        examples=[2150000000],
    )
    worker_memory_bytes: int = Field(description=LARGEST, examples=[25000000000])
    waiting_reason: OrNull[str] = Field(examples=[None])
    notes: list[str] = Field(examples=[[]])
    note_codes: list[str] = Field(description=NOTE_CODES, examples=[[]])

    @classmethod
    def of_estimate(cls, estimate: EstimatedBuild) -> Self:
        """An estimate, as far as it is known."""
        sized = estimate.sized
        return cls(
            model=sized.spec.source_version_id,
            target_form=sized.spec.target_form,
            test_rows=sized.test_rows,
            built_bytes=estimate.built_bytes,
            seconds=estimate.seconds,
            most_seconds=estimate.most_seconds,
            earlier_job_ids=list(estimate.earlier_job_ids),
            needed_memory_bytes=sized.needs.memory_bytes,
            worker_memory_bytes=estimate.worker.largest.memory_bytes,
            waiting_reason=estimate.worker.waiting_reason,
            notes=[note.text for note in estimate.notes],
            note_codes=[note.code for note in estimate.notes],
        )
