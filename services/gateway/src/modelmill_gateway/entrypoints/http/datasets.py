"""Datasets: made of files by jobs; and a look into them."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill_bus.kinds import dataset_id_of
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.http.downloads import PAGE_POLICY, download
from modelmill_gateway.entrypoints.http.requests import (
    caller_of,
    idempotency_key_of,
    page,
)
from modelmill_gateway.entrypoints.schemas.base import Deleted, Page
from modelmill_gateway.entrypoints.schemas.datasets import (
    AcceptedDataset,
    Dataset,
    DatasetBody,
    DatasetDiff,
    DatasetPreview,
    ExplainedRow,
    PreviewBody,
    RowStory,
)
from modelmill_gateway.entrypoints.schemas.parsing import PRIORITIES, read_body
from modelmill_gateway.ordering.create_dataset import CreateDataset
from modelmill_gateway.ordering.delete_dataset import DeleteDataset
from modelmill_gateway.ordering.show_datasets import ReadReport, ShowDatasets
from modelmill_gateway.ports import DataPrep

MEDIA_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8"}
MAX_SAMPLES = 100
MAX_LINE = 2**53
"""What every client's numbers hold exactly."""


class DatasetRoutes:
    """/v1/datasets."""

    def __init__(
        self,
        create_dataset: CreateDataset,
        datasets: ShowDatasets,
        delete_dataset: DeleteDataset,
        previews: DataPrep,
    ) -> None:
        self._create_dataset = create_dataset
        self._datasets = datasets
        self._delete_dataset = delete_dataset
        self._previews = previews

    async def create_dataset(self, request: Request) -> AcceptedDataset:
        body = await read_body(request, DatasetBody)
        record = await self._create_dataset(
            body.spec(), caller_of(request), idempotency_key_of(request), PRIORITIES[body.priority]
        )
        job_id = record.requested.job_id
        return AcceptedDataset(id=dataset_id_of(job_id), job_id=job_id)

    async def preview_dataset(self, request: Request) -> DatasetPreview:
        body = await read_body(request, PreviewBody)
        shown = await self._previews.preview_dataset(
            body.spec(), tenant=caller_of(request).tenant, rows=body.rows
        )
        return DatasetPreview.of_preview(shown)

    async def list_datasets(self, request: Request) -> Page[Dataset]:
        datasets = list(self._datasets.ready(caller_of(request).tenant))
        return page(request, datasets, Dataset.of_ready, lambda dataset: dataset.dataset_id)

    async def get_dataset(self, request: Request) -> Dataset:
        tenant = caller_of(request).tenant
        found = await self._datasets.one(tenant, request.path_params["dataset_id"])
        return Dataset.of_ready(found)

    async def delete_dataset(self, request: Request) -> Deleted:
        dataset_id = request.path_params["dataset_id"]
        await self._delete_dataset(dataset_id, caller_of(request))
        return Deleted(id=dataset_id, object="dataset")


class DatasetStories(Protocol):
    """Who made the datasets; every call is for one tenant."""

    async def explain_row(
        self, *, tenant: str, dataset_id: str, line: int
    ) -> Sequence[pb.RowStory]: ...
    async def diff_datasets(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, samples: int
    ) -> pb.DiffDatasetsResponse: ...
    def report(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str
    ) -> AsyncIterator[bytes]: ...


class DatasetStoryRoutes:
    """/v1/datasets/{id}/rows, /diff and /report."""

    def __init__(self, stories: DatasetStories, read_report: ReadReport) -> None:
        self._stories = stories
        self._read_report = read_report

    async def explain_row(self, request: Request) -> ExplainedRow:
        dataset_id, line = request.path_params["dataset_id"], request.path_params["line"]
        stories = await self._stories.explain_row(
            tenant=caller_of(request).tenant,
            dataset_id=dataset_id,
            line=_whole_number(line, "line", lowest=1, highest=MAX_LINE),
        )
        shown = [RowStory.of_story(story) for story in stories]
        return ExplainedRow(dataset_id=dataset_id, stories=shown)

    async def diff_datasets(self, request: Request) -> DatasetDiff:
        samples = _whole_number(
            request.query_params.get("samples", "10"), "samples", lowest=1, highest=MAX_SAMPLES
        )
        found = await self._stories.diff_datasets(
            tenant=caller_of(request).tenant,
            dataset_id=request.path_params["dataset_id"],
            other_dataset_id=request.path_params["other_dataset_id"],
            samples=samples,
        )
        return DatasetDiff.of(found)

    async def get_report(self, request: Request) -> Response:
        report_format = request.query_params.get("format", "json")
        if report_format not in MEDIA_TYPES:
            known = " or ".join(MEDIA_TYPES)
            raise BadRequestError(f"format must be {known}", param="format")
        chunks = self._read_report(
            tenant=caller_of(request).tenant,
            dataset_id=request.path_params["dataset_id"],
            report_format=report_format,
        )
        name = f"{request.path_params['dataset_id']}.{report_format}"
        policy = {"content-security-policy": PAGE_POLICY}
        return await download(chunks, name, MEDIA_TYPES[report_format], **policy)


def _whole_number(written: str, name: str, *, lowest: int, highest: int) -> int:
    number = int(written) if written.isascii() and written.isdigit() and len(written) < 17 else -1
    if not lowest <= number <= highest:
        raise BadRequestError(f"{name} must be from {lowest} to {highest}", param=name)
    return number
