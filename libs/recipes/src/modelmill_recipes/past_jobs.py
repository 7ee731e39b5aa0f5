"""What earlier jobs of the installation took, for estimates of later ones."""

from itertools import islice
from typing import Any

from modelmill_client import Modelmill
from modelmill_job_index.job_estimates import COMPARED_JOBS, EarlierJobs

from modelmill_recipes.api import Record

LOOKED_AT = 100
"""Newest jobs of a kind."""


class PastJobs:
    """Jobs that succeeded, the newest first."""

    def __init__(self, client: Modelmill) -> None:
        self._client = client
        self._of_kind: dict[str, list[Record]] = {}

    def like(self, kind: str, **spec: Any) -> EarlierJobs:
        """The newest jobs of a kind whose specs have these values."""
        if kind not in self._of_kind:
            listed = islice(self._client.jobs.list(kind=kind), LOOKED_AT)
            self._of_kind[kind] = [job for job in listed if job["status"] == "succeeded"]
        like = (job for job in self._of_kind[kind] if _has(job, spec))
        jobs: list[Record] = [*islice(like, COMPARED_JOBS)]
        return EarlierJobs(
            seconds=[float(job["cost"]["work_seconds"]) for job in jobs],
            summaries=[job["result"]["summary"] for job in jobs],
            test_rows=self._test_rows(jobs[0]) if jobs else 0,
        )

    def _test_rows(self, job: Record) -> int:
        """Of the dataset that a job read; 0 if that is gone, or it read none."""
        dataset_id = (job.get("spec") or {}).get("dataset_id", "")
        datasets = self._client.datasets.list() if dataset_id else ()
        found = (
            int(each["counts"].get("test", 0)) for each in datasets if each["id"] == dataset_id
        )
        return next(found, 0)


def _has(job: Record, wanted: dict[str, Any]) -> bool:
    spec = job.get("spec") or {}
    return all(spec.get(name, "") == value for name, value in wanted.items())
