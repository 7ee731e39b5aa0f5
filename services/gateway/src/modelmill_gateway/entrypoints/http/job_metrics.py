"""Metrics of a job, as JSON in few points or as CSV in all, and of several side by side."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterator

from modelmill_job_index.metric_series import MetricKey
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.entrypoints.http.requests import caller_of, download
from modelmill_gateway.entrypoints.schemas.base import ResponseModel
from modelmill_gateway.entrypoints.schemas.job_comparison import JobComparison
from modelmill_gateway.entrypoints.schemas.job_metrics import JobMetricsReport
from modelmill_gateway.entrypoints.schemas.queries import JobComparisonQuery, JobMetricsQuery
from modelmill_gateway.ordering.compare_jobs import CompareJobs
from modelmill_gateway.ordering.read_job_metrics import TRAINING, JobMetrics, ReadJobMetrics

ROWS_AT_ONCE = 5_000


class JobMetricsRoutes:
    """/v1/jobs/{job_id}/metrics, and /comparison, which has those of several jobs."""

    def __init__(self, read_job_metrics: ReadJobMetrics, compare_jobs: CompareJobs) -> None:
        self._read_job_metrics = read_job_metrics
        self._compare_jobs = compare_jobs

    async def get_job_metrics(self, request: Request) -> Response | ResponseModel:
        query = JobMetricsQuery.of(request.query_params)
        job_id, tenant = request.path_params["job_id"], caller_of(request).tenant
        metrics = await self._read_job_metrics(tenant, job_id, query.range)
        if query.format == "csv":
            return await download(_csv_of(metrics), f"{job_id}.csv", "text/csv; charset=utf-8")
        return await asyncio.to_thread(JobMetricsReport.of_metrics, job_id, metrics, query.points)

    async def compare_jobs(self, request: Request) -> ResponseModel:
        query = JobComparisonQuery.of(request.query_params)
        job_ids = [request.path_params["job_id"], *query.other]
        compared = await self._compare_jobs(caller_of(request).tenant, job_ids, query.range)
        return await asyncio.to_thread(JobComparison.of_jobs, compared, query.points)


async def _csv_of(metrics: JobMetrics) -> AsyncIterator[bytes]:
    """A line for each step at which anything was measured, some thousand at a time."""
    lines = _lines(metrics)
    while chunk := await asyncio.to_thread(_some, lines):
        yield chunk


def _some(lines: Iterator[list[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for _, line in zip(range(ROWS_AT_ONCE), lines, strict=False):
        writer.writerow(line)
    return text.getvalue().encode()


def _lines(metrics: JobMetrics) -> Iterator[list[object]]:
    columns = sorted((_name_of(key), series) for key, series in metrics.series.items())
    yield ["step", *(name for name, _ in columns)]
    places = [0] * len(columns)
    steps = sorted({step for _, series in columns for step in series.steps})
    for step in steps:
        line: list[object] = [step]
        for number, (_, series) in enumerate(columns):
            place = places[number]
            is_there = place < len(series) and series.steps[place] == step
            line.append(series.values[place] if is_there else "")
            places[number] += is_there
        yield line


def _name_of(key: MetricKey) -> str:
    return key.name if key.phase == TRAINING else f"{key.phase} {key.name}"
