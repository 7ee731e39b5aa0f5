"""Datasets: made of files by jobs."""

from typing import Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec, PreviewDatasetResponse
from modelmill_bus.kinds import dataset_id_of
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.bodies.dataset_body import DatasetBody, PreviewBody
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.schemas.parsing import PRIORITIES, read_body
from modelmill_gateway.entrypoints.views.dataset_views import dataset_view, preview_view
from modelmill_gateway.entrypoints.views.pages import deleted_view, page_view
from modelmill_gateway.ordering.create_dataset import CreateDataset
from modelmill_gateway.ordering.delete_dataset import DeleteDataset
from modelmill_gateway.ordering.show_datasets import ShowDatasets


class Previews(Protocol):
    """Says what a spec would make of a file's first rows."""

    async def preview_dataset(
        self, spec: DatasetSpec, *, tenant: str, rows: int
    ) -> PreviewDatasetResponse: ...


class DatasetRoutes:
    """/v1/datasets."""

    def __init__(
        self,
        create_dataset: CreateDataset,
        datasets: ShowDatasets,
        delete_dataset: DeleteDataset,
        previews: Previews,
    ) -> None:
        self._create_dataset = create_dataset
        self._datasets = datasets
        self._delete_dataset = delete_dataset
        self._previews = previews

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "create_dataset": self._post,
            "preview_dataset": self._preview,
            "list_datasets": self._list,
            "get_dataset": self._get,
            "delete_dataset": self._delete,
        }

    async def _post(self, request: Request) -> Response:
        body = await read_body(request, DatasetBody)
        record = await self._create_dataset(
            body.spec(), caller_of(request), idempotency_key_of(request), PRIORITIES[body.priority]
        )
        view = {
            "id": dataset_id_of(record.requested.job_id),
            "object": "dataset",
            "status": "queued",
            "job_id": record.requested.job_id,
        }
        return json_response(view, 202)

    async def _preview(self, request: Request) -> Response:
        body = await read_body(request, PreviewBody)
        shown = await self._previews.preview_dataset(
            body.spec(), tenant=caller_of(request).tenant, rows=body.rows
        )
        return json_response(preview_view(shown))

    async def _list(self, request: Request) -> Response:
        datasets = list(self._datasets.ready(caller_of(request).tenant))
        page = page_of(datasets, page_request_of(request), lambda dataset: dataset.dataset_id)
        return json_response(page_view(page, dataset_view))

    async def _get(self, request: Request) -> Response:
        tenant = caller_of(request).tenant
        found = await self._datasets.one(tenant, request.path_params["dataset_id"])
        return json_response(dataset_view(found))

    async def _delete(self, request: Request) -> Response:
        dataset_id = request.path_params["dataset_id"]
        await self._delete_dataset(dataset_id, caller_of(request))
        return json_response(deleted_view("dataset", dataset_id))
