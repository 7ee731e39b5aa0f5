"""Datasets: made of files by jobs."""

from google.protobuf.json_format import ParseDict
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.create_dataset import CreateDataset
from gateway.delete_dataset import DeleteDataset
from gateway.domain.pages import page_of
from gateway.entrypoints.bodies import (
    PRIORITIES,
    PRIORITY_MEANING,
    Priority,
    StrictBody,
    read_body,
)
from gateway.entrypoints.http_requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from gateway.entrypoints.views import dataset_view, deleted_view, page_view
from gateway.show_datasets import ShowDatasets


class MappingBody(StrictBody):
    """How a row becomes a conversation: a column that holds one, or templates with {column}."""

    system_template: str = ""
    user_template: str = ""
    answer_template: str = ""
    messages_column: str = ""


class SharesBody(StrictBody):
    """Shares of the splits, together 1."""

    train: float = Field(ge=0, le=1)
    valid: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)


class DatasetBody(StrictBody):
    """POST /v1/datasets."""

    file_id: str = Field(min_length=1, max_length=128)
    name: str = Field("", max_length=128)
    mapping: MappingBody
    shares: SharesBody | None = None
    seed: int = Field(0, ge=0, lt=2**64)
    max_test_rows: int = Field(0, ge=0, lt=2**32, description="0 sets no limit.")
    priority: Priority = Field("normal", description=PRIORITY_MEANING)


class DatasetRoutes:
    """/v1/datasets."""

    def __init__(
        self,
        create_dataset: CreateDataset,
        datasets: ShowDatasets,
        delete_dataset: DeleteDataset,
    ) -> None:
        self._create_dataset = create_dataset
        self._datasets = datasets
        self._delete_dataset = delete_dataset

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "create_dataset": self._post,
            "list_datasets": self._list,
            "get_dataset": self._get,
            "delete_dataset": self._delete,
        }

    async def _post(self, request: Request) -> Response:
        body = await read_body(request, DatasetBody)
        spec = ParseDict(body.model_dump(exclude_none=True, exclude={"priority"}), DatasetSpec())
        accepted = await self._create_dataset(
            spec, caller_of(request), idempotency_key_of(request), PRIORITIES[body.priority]
        )
        view = {
            "id": accepted.dataset_id,
            "object": "dataset",
            "status": "queued",
            "job_id": accepted.job_id,
        }
        return json_response(view, 202)

    async def _list(self, request: Request) -> Response:
        datasets = list(self._datasets.ready(caller_of(request).tenant))
        page = page_of(datasets, page_request_of(request), lambda dataset: dataset.dataset_id)
        return json_response(page_view(page, dataset_view))

    async def _get(self, request: Request) -> Response:
        tenant = caller_of(request).tenant
        found = self._datasets.one(tenant, request.path_params["dataset_id"])
        return json_response(dataset_view(found))

    async def _delete(self, request: Request) -> Response:
        dataset_id = request.path_params["dataset_id"]
        await self._delete_dataset(dataset_id, caller_of(request))
        return json_response(deleted_view("dataset", dataset_id))
