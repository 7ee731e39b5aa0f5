"""Use case: compare jobs, also failed ones: what was asked, on which data, and what came of it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.envelope import text_of
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import DomainError, NotFoundError

from modelmill_gateway.ordering.read_job_metrics import JobMetrics, MetricRange, ReadJobMetrics

log = logging.getLogger(__name__)

NOTHING_READ = JobMetrics({}, is_complete=False)


@dataclass(frozen=True)
class ComparedData:
    """The dataset that a job reads."""

    dataset_id: str
    ready: DatasetReady | None
    """None where it is not ready, or nothing is known of it any more."""
    is_deleted: bool


@dataclass(frozen=True)
class JobInComparison:
    """A job with its data and what it has measured."""

    record: JobRecord
    data: ComparedData | None
    """None where it reads no dataset."""
    metrics: JobMetrics


class CompareJobs:
    """Reads jobs with all that they are compared by."""

    def __init__(
        self, jobs: JobIndex, datasets: DatasetCatalogue, read_job_metrics: ReadJobMetrics
    ) -> None:
        self._jobs = jobs
        self._datasets = datasets
        self._read_job_metrics = read_job_metrics

    async def __call__(
        self, tenant: str, job_ids: Sequence[str], wanted: MetricRange
    ) -> Sequence[JobInComparison]:
        """The jobs in this order, each once. What cannot be read of one keeps none of them back.

        Raises:
            NotFoundError: no such job, or another tenant's.
        """
        records = [self._jobs.get(tenant, job_id) for job_id in dict.fromkeys(job_ids)]
        metrics = await asyncio.gather(*(self._metrics(tenant, each, wanted) for each in records))
        return [
            JobInComparison(record, self._data(tenant, record), each)
            for record, each in zip(records, metrics, strict=True)
        ]

    async def _metrics(self, tenant: str, record: JobRecord, wanted: MetricRange) -> JobMetrics:
        job_id = record.requested.job_id
        try:
            return await self._read_job_metrics(tenant, job_id, wanted)
        except DomainError as error:
            log.warning("metrics of job %s are not compared: %s", job_id, error)
            return NOTHING_READ

    def _data(self, tenant: str, record: JobRecord) -> ComparedData | None:
        dataset_id = text_of(record.requested.spec, "dataset_id")
        if not dataset_id:
            return None
        is_deleted = self._datasets.has_retired(tenant, dataset_id)
        try:
            ready = self._datasets.get(tenant, dataset_id, include_retired=True)
        except NotFoundError:
            ready = None
        return ComparedData(dataset_id, ready, is_deleted)
