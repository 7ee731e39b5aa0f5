"""Datasets: made of files by jobs; and a look into them."""

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import Page as Items
from modelmill_gateway.entrypoints.http.jobs import creating
from modelmill_gateway.entrypoints.http.requests import caller_of, page, report, shown_page
from modelmill_gateway.entrypoints.schemas.base import Deleted, Page
from modelmill_gateway.entrypoints.schemas.dataset_comparison import (
    DatasetComparison,
    UnsharedRow,
)
from modelmill_gateway.entrypoints.schemas.datasets import (
    AcceptedDataset,
    Dataset,
    DatasetBody,
    DatasetDiff,
    DatasetPreview,
    ExplainedRow,
    PreviewBody,
    RowProvenance,
)
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.entrypoints.schemas.queries import (
    DiffQuery,
    ReportQuery,
    RowPageQuery,
    RowQuery,
)
from modelmill_gateway.ordering.manage_datasets import ManageDatasets
from modelmill_gateway.ordering.order_job import CreateJob
from modelmill_gateway.ports import DataPrep

MAX_LINE = 2**53
"""What every client's numbers hold exactly."""


class DatasetRoutes:
    """/v1/datasets."""

    def __init__(
        self, create_job: CreateJob[DatasetSpec], datasets: ManageDatasets, data_prep: DataPrep
    ) -> None:
        self._datasets = datasets
        self._data_prep = data_prep
        self.create_dataset = creating(create_job, DatasetBody, AcceptedDataset.of_record)

    async def preview_dataset(self, request: Request) -> DatasetPreview:
        body = await read_body(request, PreviewBody)
        shown = await self._data_prep.preview_dataset(
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
        await self._datasets.delete(dataset_id, caller_of(request))
        return Deleted(id=dataset_id, object="dataset")

    async def explain_row(self, request: Request) -> ExplainedRow:
        dataset_id, line = request.path_params["dataset_id"], request.path_params["line"]
        provenance = await self._data_prep.explain_row(
            tenant=caller_of(request).tenant,
            dataset_id=dataset_id,
            line=_line(line),
            file_id=RowQuery.of(request.query_params).file_id,
        )
        shown = [RowProvenance.of_message(entry) for entry in provenance]
        return ExplainedRow(dataset_id=dataset_id, provenance=shown)

    async def diff_datasets(self, request: Request) -> DatasetDiff:
        found = await self._data_prep.diff_datasets(
            tenant=caller_of(request).tenant,
            dataset_id=request.path_params["dataset_id"],
            other_dataset_id=request.path_params["other_dataset_id"],
            samples=DiffQuery.of(request.query_params).samples,
        )
        return DatasetDiff.of(found)

    async def compare_datasets(self, request: Request) -> DatasetComparison:
        found = await self._datasets.compare(caller_of(request).tenant, **request.path_params)
        return DatasetComparison.of_comparison(found)

    async def list_unshared_rows(self, request: Request) -> Page[UnsharedRow]:
        query = RowPageQuery.of(request.query_params)
        found = await self._datasets.unshared_rows(
            caller_of(request).tenant,
            **request.path_params,
            after=query.line,
            limit=query.limit,
        )
        return shown_page(Items(found.rows, found.has_more), UnsharedRow.of_row)

    async def get_report(self, request: Request) -> Response:
        wanted = ReportQuery.of(request.query_params).format
        tenant, dataset_id = caller_of(request).tenant, request.path_params["dataset_id"]
        chunks = self._datasets.report(tenant=tenant, dataset_id=dataset_id, report_format=wanted)
        return await report(chunks, dataset_id, wanted)


def _line(written: str) -> int:
    number = int(written) if written.isascii() and written.isdigit() and len(written) < 17 else 0
    if not 1 <= number <= MAX_LINE:
        raise BadRequestError(f"line must be from 1 to {MAX_LINE}", param="line")
    return number
