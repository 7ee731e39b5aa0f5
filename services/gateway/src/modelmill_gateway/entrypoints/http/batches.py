"""Batches in OpenAI's shape: files of requests, answered in the background."""

from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec
from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL
from modelmill_bus.kinds import BATCH
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_service_kit.nearest import no_such
from starlette.requests import Request

from modelmill_gateway.batches.create_batch import CreateBatch
from modelmill_gateway.domain.errors import unsupported
from modelmill_gateway.entrypoints.http.requests import (
    caller_of,
    idempotency_key_of,
    page,
)
from modelmill_gateway.entrypoints.schemas.base import Page
from modelmill_gateway.entrypoints.schemas.batches import Batch, BatchBody
from modelmill_gateway.entrypoints.schemas.parsing import parse_open
from modelmill_gateway.ordering.control_job import ControlJob

SPEC = BatchSpec.DESCRIPTOR.full_name


class BatchRoutes:
    """/v1/batches."""

    def __init__(self, create_batch: CreateBatch, control_job: ControlJob, jobs: JobIndex) -> None:
        self._create_batch = create_batch
        self._control_job = control_job
        self._jobs = jobs

    async def create_batch(self, request: Request) -> Batch:
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
        return Batch.of_record(record)

    async def list_batches(self, request: Request) -> Page[Batch]:
        records = self._jobs.list(caller_of(request).tenant, BATCH)
        batches = [each for each in records if is_batch(each)]
        return page(request, batches, Batch.of_record, lambda job: job.requested.job_id)

    async def get_batch(self, request: Request) -> Batch:
        return Batch.of_record(self._batch_of(request))

    async def cancel_batch(self, request: Request) -> Batch:
        job_id = self._batch_of(request).requested.job_id
        record = await self._control_job(job_id, JOB_DESIRED_STATE_CANCEL, caller_of(request))
        return Batch.of_record(record)

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
