"""Jobs side by side, as they are shown."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from pydantic import Field

from modelmill_gateway.domain.job_differences import ScoreFigure, score_rows, setting_rows
from modelmill_gateway.entrypoints.schemas.base import DatasetId, Digest, ResponseModel
from modelmill_gateway.entrypoints.schemas.job_metrics import MetricSeriesReport
from modelmill_gateway.entrypoints.schemas.jobs import Job
from modelmill_gateway.ordering.compare_jobs import ComparedData, JobInComparison


class ComparedDataset(ResponseModel):
    """The dataset that a job reads. Digest and counts are null where nothing is known of it."""

    id: DatasetId
    name: str | None = Field(examples=["kinds"])
    digest: Digest | None
    counts: dict[str, int] | None = Field(examples=[{"train": 704, "valid": 88, "test": 88}])
    is_deleted: bool = Field(examples=[False])

    @classmethod
    def of_data(cls, data: ComparedData) -> Self:
        """A dataset, as far as it is known."""
        ready = data.ready
        return cls(
            id=data.dataset_id,
            name=(ready.name or None) if ready else None,
            digest=(ready.digest or None) if ready else None,
            counts=dict(ready.counts) if ready else None,
            is_deleted=data.is_deleted,
        )


class ComparedJob(ResponseModel):
    """A job, its dataset, and its metrics by step. `is_complete` is false when earlier steps could
    not be read.
    """

    job: Job
    dataset: ComparedDataset | None
    is_complete: bool = Field(examples=[True])
    series: list[MetricSeriesReport]

    @classmethod
    def of_compared(cls, compared: JobInComparison, points: int) -> Self:
        """A job, each series in so many points."""
        metrics = compared.metrics
        return cls(
            job=Job.of_record(compared.record),
            dataset=ComparedDataset.of_data(compared.data) if compared.data else None,
            is_complete=metrics.is_complete,
            series=[
                MetricSeriesReport.of_series(key, series, points)
                for key, series in metrics.series.items()
            ],
        )


class ComparedSetting(ResponseModel):
    """A setting by its path in the order: a value of each, null where it has none."""

    path: str = Field(examples=["hyper_parameters.learning_rate"])
    differs: bool = Field(examples=[True])
    values: list[Any] = Field(examples=[[0.0002, 0.0001]])


class ScoreEstimate(ResponseModel):
    """A figure, with its 95 % interval where it is an estimate."""

    value: float = Field(examples=[0.71])
    low: float | None = Field(examples=[0.6])
    high: float | None = Field(examples=[0.8])


class ComparedScore(ResponseModel):
    """A score by its path in the result's summary: one for each job, null where it has none."""

    name: str = Field(examples=["accuracy_tuned"])
    values: list[ScoreEstimate | None]


class JobComparison(ResponseModel):
    """Jobs side by side. Settings that differ come first, and scores with intervals."""

    object: Literal["job.comparison"] = "job.comparison"
    jobs: list[ComparedJob]
    settings: list[ComparedSetting]
    scores: list[ComparedScore]

    @classmethod
    def of_jobs(cls, compared: Sequence[JobInComparison], points: int) -> Self:
        """Jobs in their order."""
        specs = [MessageToDict(each.record.requested.spec) for each in compared]
        return cls(
            jobs=[ComparedJob.of_compared(each, points) for each in compared],
            settings=[
                ComparedSetting(path=row.path, differs=row.differs, values=list(row.values))
                for row in setting_rows(specs)
            ],
            scores=[
                ComparedScore(name=row.name, values=[_estimate(each) for each in row.values])
                for row in score_rows([_summary(each) for each in compared])
            ],
        )


def _summary(compared: JobInComparison) -> dict[str, Any]:
    state = compared.record.state
    return MessageToDict(state.result.summary) if state.status == JOB_STATUS_SUCCEEDED else {}


def _estimate(score: ScoreFigure | None) -> ScoreEstimate | None:
    if score is None:
        return None
    return ScoreEstimate(value=score.value, low=score.low, high=score.high)
