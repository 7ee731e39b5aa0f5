"""Metrics of a job by step, as they are shown."""

from typing import Literal, Self

from modelmill_job_index.metric_series import MetricKey, MetricSeries
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import JobId, ResponseModel
from modelmill_gateway.ordering.read_job_metrics import JobMetrics


class MetricSeriesReport(ResponseModel):
    """Values of one metric by step. Of `total` points in the range, some are left out where
    `is_sampled`: of each stretch of steps the lowest and the highest value are kept.
    """

    name: str = Field(examples=["loss"])
    phase: str = Field(examples=["train"])
    """Of the job, that measured it."""
    total: int = Field(examples=[3])
    is_sampled: bool = Field(examples=[False])
    steps: list[int] = Field(examples=[[1, 2, 3]])
    values: list[float] = Field(examples=[[2.31, 1.9, 1.31]])

    @classmethod
    def of_series(cls, key: MetricKey, series: MetricSeries, points: int) -> Self:
        """A series in so many points."""
        shown = series.sampled(points)
        return cls(
            name=key.name,
            phase=key.phase,
            total=len(series),
            is_sampled=shown.is_sampled,
            steps=list(shown.steps),
            values=list(shown.values),
        )


class JobMetricsReport(ResponseModel):
    """Metrics of a job by step. `is_complete` is false when the service that keeps earlier steps
    does not answer.
    """

    object: Literal["job.metrics"] = "job.metrics"
    job_id: JobId
    is_complete: bool = Field(examples=[True])
    series: list[MetricSeriesReport]

    @classmethod
    def of_metrics(cls, job_id: str, metrics: JobMetrics, points: int) -> Self:
        """All series of a job, each in so many points."""
        series = [
            MetricSeriesReport.of_series(key, each, points) for key, each in metrics.series.items()
        ]
        return cls(job_id=job_id, is_complete=metrics.is_complete, series=series)
