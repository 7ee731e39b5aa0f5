"""What earlier jobs of the installation took, for estimates of later ones."""

from collections.abc import Sequence
from itertools import islice
from statistics import median
from typing import Any

from modelmill_client import Modelmill

from modelmill_recipes.api import Record

LOOKED_AT = 100
"""Newest jobs of a kind."""
COMPARED = 5


class PastJobs:
    """Jobs that succeeded, the newest first."""

    def __init__(self, client: Modelmill) -> None:
        self._client = client
        self._of_kind: dict[str, list[Record]] = {}

    def like(self, kind: str, **spec: Any) -> list[Record]:
        """The newest jobs of a kind whose specs have these values."""
        if kind not in self._of_kind:
            jobs = islice(self._client.jobs.list(kind=kind), LOOKED_AT)
            self._of_kind[kind] = [job for job in jobs if job["status"] == "succeeded"]
        found = (job for job in self._of_kind[kind] if _has(job, spec))
        return list(islice(found, COMPARED))

    def test_rows(self, job: Record) -> int:
        """Of the dataset that a job read; 0 if that is gone."""
        dataset_id = (job.get("spec") or {}).get("dataset_id", "")
        datasets = self._client.datasets.list()
        found = (
            int(each["counts"].get("test", 0)) for each in datasets if each["id"] == dataset_id
        )
        return next(found, 0)


def work_seconds(jobs: Sequence[Record]) -> float | None:
    """Median time of work; None of none."""
    taken = [float(job["cost"]["work_seconds"]) for job in jobs]
    return median(taken) if taken else None


def figure(jobs: Sequence[Record], name: str) -> float | None:
    """Median of a figure of the summaries; None where none has it."""
    found = [job["result"]["summary"].get(name) for job in jobs]
    figures = [float(each) for each in found if each]
    return median(figures) if figures else None


def _has(job: Record, wanted: dict[str, Any]) -> bool:
    spec = job.get("spec") or {}
    return all(spec.get(name, "") == value for name, value in wanted.items())
