"""Batches in OpenAI's shape: files of requests, answered in the background."""

from typing import Literal

from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec
from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL
from modelmill_bus.kinds import BATCH
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.nearest import no_such
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.batches.create_batch import CreateBatch
from modelmill_gateway.domain.errors import unsupported
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.http.jobs import Jobs
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.schemas.parsing import Metadata, OpenBody, parse_open
from modelmill_gateway.entrypoints.views.batch_views import batch_view
from modelmill_gateway.entrypoints.views.pages import page_view
from modelmill_gateway.ordering.control_job import ControlJob

SPEC = BatchSpec.DESCRIPTOR.full_name


class BatchBody(OpenBody):
    """Request body of POST /v1/batches."""

    input_file_id: str = Field(
        min_length=1, max_length=128, description="File of purpose `batch`: one request a line."
    )
    endpoint: Literal[
        "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"
    ] = Field(description="Route that answers each request.")
    completion_window: Literal["24h"] = Field(
        description="Time limit; requests that are not answered by then are errors."
    )
    metadata: Metadata | None = None


class BatchRoutes:
    """/v1/batches."""

    def __init__(self, create_batch: CreateBatch, control_job: ControlJob, jobs: Jobs) -> None:
        self._create_batch = create_batch
        self._control_job = control_job
        self._jobs = jobs

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "create_batch": self._post,
            "list_batches": self._list,
            "get_batch": self._get,
            "cancel_batch": self._cancel,
        }

    async def _post(self, request: Request) -> Response:
        body = parse_open(await request.body(), BatchBody)
        if (body.model_extra or {}).get("output_expires_after") is not None:
            raise unsupported("output_expires_after")
        record = await self._create_batch(
            endpoint=body.endpoint,
            input_file_id=body.input_file_id,
            metadata=body.metadata or {},
            caller=caller_of(request),
            idempotency_key=idempotency_key_of(request),
        )
        return json_response(batch_view(record))

    async def _list(self, request: Request) -> Response:
        records = self._jobs.list(caller_of(request).tenant, BATCH)
        batches = [each for each in records if is_batch(each)]
        page = page_of(batches, page_request_of(request), lambda job: job.requested.job_id)
        return json_response(page_view(page, batch_view))

    async def _get(self, request: Request) -> Response:
        return json_response(batch_view(self._batch_of(request)))

    async def _cancel(self, request: Request) -> Response:
        job_id = self._batch_of(request).requested.job_id
        record = await self._control_job(job_id, JOB_DESIRED_STATE_CANCEL, caller_of(request))
        return json_response(batch_view(record))

    def _batch_of(self, request: Request) -> JobRecord:
        """Raises NotFoundError unless the path names a batch of the tenant's."""
        batch_id = request.path_params["batch_id"]
        record = self._jobs.get(caller_of(request).tenant, batch_id)
        if record.requested.kind != BATCH or not is_batch(record):
            raise no_such("batch", batch_id, "/v1/batches")
        return record


def is_batch(record: JobRecord) -> bool:
    """Whether a job of this kind was ordered as a batch."""
    return record.requested.spec_type in (SPEC, "")
