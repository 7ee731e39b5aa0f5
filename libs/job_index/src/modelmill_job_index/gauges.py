"""How many jobs there are and how long the oldest waits, for Prometheus."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_QUEUED, JOB_STATUS_UNSPECIFIED, JobStatus
from modelmill_jobs.job_status import status_word
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from modelmill_job_index.index import JobIndex

STATUSES = tuple(each for each in JobStatus.values() if each != JOB_STATUS_UNSPECIFIED)


class JobGauges(Collector):
    """Counted from a ledger when somebody scrapes; register it once in a whole system.

    Args:
        now: seconds since 1970.
    """

    def __init__(self, job_index: JobIndex, now: Callable[[], float] = time.time) -> None:
        self._job_index = job_index
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Nothing: being registered needs no count of all jobs."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """`modelmill_jobs` and `modelmill_job_queue_oldest_seconds`, for kinds that had a job."""
        jobs = GaugeMetricFamily(
            "modelmill_jobs", "Jobs, by where they stand.", labels=["kind", "status"]
        )
        oldest = GaugeMetricFamily(
            "modelmill_job_queue_oldest_seconds",
            "Seconds that the job which waits longest has waited; 0 when none does.",
            labels=["kind"],
        )
        counts: Counter[tuple[str, int]] = Counter()
        waiting: dict[str, float] = {}
        now = self._now()
        for standing in self._job_index.standings():
            counts[standing.kind, standing.status] += 1
            waited = 0.0
            if standing.status == JOB_STATUS_QUEUED:
                waited = max(0.0, now - standing.since.ToNanoseconds() / 1e9)
            waiting[standing.kind] = max(waiting.get(standing.kind, 0.0), waited)
        for kind, seconds in sorted(waiting.items()):
            oldest.add_metric([kind], seconds)
            for status in STATUSES:
                jobs.add_metric([kind, status_word(status)], counts[kind, status])
        return jobs, oldest
