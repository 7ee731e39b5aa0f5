"""Read a dataset's report, also of one that its job could not make."""

from collections.abc import AsyncIterator
from typing import Protocol

from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.ordering.show_datasets import ShowDatasets


class Reports(Protocol):
    """Who made the datasets."""

    def report(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str
    ) -> AsyncIterator[bytes]: ...


class ReadReport:
    """Data-prep knows datasets by their ids; which job should have made one, we know."""

    def __init__(self, reports: Reports, datasets: ShowDatasets) -> None:
        self._reports = reports
        self._datasets = datasets

    async def __call__(
        self, *, tenant: str, dataset_id: str, report_format: str
    ) -> AsyncIterator[bytes]:
        """The report's bytes as they come. Raises NotFoundError on the first step."""
        job_id = await self._job_id(tenant, dataset_id)
        chunks = self._reports.report(
            tenant=tenant, dataset_id=dataset_id, report_format=report_format, job_id=job_id
        )
        async for chunk in chunks:
            yield chunk

    async def _job_id(self, tenant: str, dataset_id: str) -> str:
        """Of what is no dataset yet; empty for others."""
        try:
            found = await self._datasets.one(tenant, dataset_id)
        except NotFoundError:
            return ""
        return found.requested.job_id if isinstance(found, JobRecord) else ""
