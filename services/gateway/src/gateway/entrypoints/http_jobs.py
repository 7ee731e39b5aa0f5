"""Datasets, training and the jobs that make them."""

from typing import Protocol

from google.protobuf.json_format import ParseDict
from jobs.ledger import JobRecord
from jobs.subjects import KINDS
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from pydantic import Field
from service_kit.errors import NotFoundError
from starlette.requests import Request
from starlette.responses import Response

from gateway.create_dataset import CreateDataset
from gateway.create_fine_tuning_job import CreateFineTuningJob
from gateway.domain.errors import BadRequestError
from gateway.domain.pages import page_of
from gateway.entrypoints.bodies import StrictBody, read_body
from gateway.entrypoints.fine_tuning_body import FineTuningBody, order_from
from gateway.entrypoints.http_requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from gateway.entrypoints.job_views import View, event_view, fine_tuning_view, job_view
from gateway.entrypoints.views import dataset_view, page_view
from gateway.show_datasets import ShowDatasets

TRAIN = "train"


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


class Jobs(Protocol):
    """The list of jobs, newest first; raises NotFoundError for another tenant's."""

    def get(self, tenant: str, job_id: str) -> JobRecord: ...
    def list(self, tenant: str, kind: str | None = None) -> list[JobRecord]: ...


class JobRoutes:
    """/v1/datasets, /v1/fine_tuning/jobs and /v1/jobs."""

    def __init__(
        self,
        create_dataset: CreateDataset,
        create_fine_tuning_job: CreateFineTuningJob,
        datasets: ShowDatasets,
        jobs: Jobs,
    ) -> None:
        self._create_dataset = create_dataset
        self._create_fine_tuning_job = create_fine_tuning_job
        self._datasets = datasets
        self._jobs = jobs

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "create_dataset": self._post_dataset,
            "list_datasets": self._list_datasets,
            "get_dataset": self._get_dataset,
            "create_fine_tuning": self._post_fine_tuning,
            "list_fine_tuning": self._list_fine_tuning,
            "get_fine_tuning": self._get_fine_tuning,
            "list_fine_tuning_events": self._list_events,
            "list_jobs": self._list_jobs,
            "get_job": self._get_job,
        }

    async def _post_dataset(self, request: Request) -> Response:
        body = await read_body(request, DatasetBody)
        spec = ParseDict(body.model_dump(exclude_none=True), DatasetSpec())
        caller = caller_of(request)
        accepted = await self._create_dataset(spec, caller, idempotency_key_of(request))
        view = {
            "id": accepted.dataset_id,
            "object": "dataset",
            "status": "queued",
            "job_id": accepted.job_id,
        }
        return json_response(view, 202)

    async def _list_datasets(self, request: Request) -> Response:
        datasets = list(self._datasets.ready(caller_of(request).tenant))
        page = page_of(datasets, page_request_of(request), lambda dataset: dataset.dataset_id)
        return json_response(page_view(page, dataset_view))

    async def _get_dataset(self, request: Request) -> Response:
        tenant = caller_of(request).tenant
        found = self._datasets.one(tenant, request.path_params["dataset_id"])
        return json_response(dataset_view(found))

    async def _post_fine_tuning(self, request: Request) -> Response:
        order = order_from(await read_body(request, FineTuningBody))
        caller = caller_of(request)
        record = await self._create_fine_tuning_job(order, caller, idempotency_key_of(request))
        return json_response(self._training(record))

    async def _list_fine_tuning(self, request: Request) -> Response:
        records = self._jobs.list(caller_of(request).tenant, TRAIN)
        page = page_of(records, page_request_of(request), _job_id)
        return json_response(page_view(page, self._training))

    async def _get_fine_tuning(self, request: Request) -> Response:
        return json_response(self._training(self._training_job(request)))

    async def _list_events(self, request: Request) -> Response:
        newest_first = self._training_job(request).events[::-1]
        page = page_of(newest_first, page_request_of(request), lambda event: event.id)
        return json_response(page_view(page, event_view))

    async def _list_jobs(self, request: Request) -> Response:
        records = self._jobs.list(caller_of(request).tenant, _kind_of(request))
        return json_response(
            page_view(page_of(records, page_request_of(request), _job_id), job_view)
        )

    async def _get_job(self, request: Request) -> Response:
        record = self._jobs.get(caller_of(request).tenant, request.path_params["job_id"])
        return json_response(job_view(record))

    def _training_job(self, request: Request) -> JobRecord:
        job_id = request.path_params["job_id"]
        record = self._jobs.get(caller_of(request).tenant, job_id)
        if record.requested.kind != TRAIN:
            raise NotFoundError(f"no fine-tuning job {job_id[:80]!r}")
        return record

    def _training(self, record: JobRecord) -> View:
        """With the file that its dataset is made from, where that is known."""
        spec = record.requested.spec.fields
        source = spec["dataset_id"].string_value
        made_by = spec["dataset_job_id"].string_value
        if made_by:
            try:
                dataset_job = self._jobs.get(record.requested.tenant, made_by)
            except NotFoundError:
                return fine_tuning_view(record, source)
            source = dataset_job.requested.spec.fields["file_id"].string_value
        return fine_tuning_view(record, source)


def _kind_of(request: Request) -> str | None:
    kind = request.query_params.get("kind")
    if kind is not None and kind not in KINDS:
        raise BadRequestError(f"kind must be one of {', '.join(KINDS)}", param="kind")
    return kind


def _job_id(record: JobRecord) -> str:
    return record.requested.job_id
