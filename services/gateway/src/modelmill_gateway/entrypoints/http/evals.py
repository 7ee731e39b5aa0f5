"""Batches and evals in OpenAI's shape: definitions, runs, and rows of runs."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec
from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL
from modelmill_bus.kinds import BATCH
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_service_kit.errors import NotFoundError
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
from modelmill_gateway.entrypoints.schemas.evals import (
    STATUS,
    ChangedEvalBody,
    DeletedEval,
    DeletedEvalRun,
    Eval,
    EvalOutputItem,
    EvalRun,
    parse_eval,
    parse_run,
)
from modelmill_gateway.entrypoints.schemas.parsing import parse_open
from modelmill_gateway.entrypoints.schemas.queries import EvalQuery, EvalRunQuery
from modelmill_gateway.evals.manage_evals import (
    CreateEvalRun,
    ManageEvals,
    RunRequest,
    ShowEvalRuns,
)
from modelmill_gateway.ordering.control_job import ControlJob

T = TypeVar("T")


class EvalRoutes:
    """/v1/evals."""

    def __init__(
        self,
        manage_evals: ManageEvals,
        create_run: CreateEvalRun,
        show_runs: ShowEvalRuns,
        control_job: ControlJob,
    ) -> None:
        self._manage_evals = manage_evals
        self._create_run = create_run
        self._show_runs = show_runs
        self._control_job = control_job

    async def create_eval(self, request: Request) -> Eval:
        body = parse_eval(await request.body())
        state = await self._manage_evals.create(
            name=body.name,
            data_source_config=body.data_source_config.definition,
            testing_criteria=[each.definition for each in body.testing_criteria],
            metadata=body.metadata or {},
            caller=caller_of(request),
            idempotency_key=idempotency_key_of(request),
        )
        return Eval.of(state)

    async def list_evals(self, request: Request) -> Page[Eval]:
        if request.query_params.get("order_by", "created_at") != "created_at":
            raise unsupported("order_by")
        query = EvalQuery.of(request.query_params)
        found = _ordered(query, self._manage_evals.list(caller_of(request)))
        return page(request, found, Eval.of, lambda state: state.eval_id)

    async def get_eval(self, request: Request) -> Eval:
        state = self._manage_evals.get(request.path_params["eval_id"], caller_of(request))
        return Eval.of(state)

    async def change_eval(self, request: Request) -> Eval:
        body = parse_open(await request.body(), ChangedEvalBody)
        state = await self._manage_evals.change(
            request.path_params["eval_id"], caller_of(request), body.name, body.metadata
        )
        return Eval.of(state)

    async def delete_eval(self, request: Request) -> DeletedEval:
        eval_id = request.path_params["eval_id"]
        await self._manage_evals.delete(eval_id, caller_of(request))
        return DeletedEval(eval_id=eval_id)

    async def create_eval_run(self, request: Request) -> EvalRun:
        body = parse_run(await request.body())
        source = body.data_source.source
        asked = RunRequest(
            name=body.name,
            source=body.source,
            file_id=source.id or "" if source.type == "file_id" else "",
            rows=[row.model_dump(exclude_none=True) for row in source.content or ()],
            metadata=body.metadata or {},
        )
        eval_id, key = request.path_params["eval_id"], idempotency_key_of(request)
        record = await self._create_run(eval_id, asked, caller_of(request), key)
        return EvalRun.of_record(record)

    async def list_eval_runs(self, request: Request) -> Page[EvalRun]:
        runs = self._show_runs.list(request.path_params["eval_id"], caller_of(request))
        query = EvalRunQuery.of(request.query_params)
        found = [each for each in runs if query.status in (None, STATUS[each.state.status])]
        ordered = _ordered(query, found)
        return page(request, ordered, EvalRun.of_record, lambda run: run.requested.job_id)

    async def get_eval_run(self, request: Request) -> EvalRun:
        return EvalRun.of_record(self._show_runs.get(*_run_of(request), caller_of(request)))

    async def cancel_eval_run(self, request: Request) -> EvalRun:
        caller = caller_of(request)
        record = self._show_runs.get(*_run_of(request), caller)
        job_id = record.requested.job_id
        cancelled = await self._control_job(job_id, JOB_DESIRED_STATE_CANCEL, caller)
        return EvalRun.of_record(cancelled)

    async def delete_eval_run(self, request: Request) -> DeletedEvalRun:
        (eval_id, run_id), caller = _run_of(request), caller_of(request)
        self._show_runs.get(eval_id, run_id, caller)
        await self._manage_evals.delete_run(eval_id, run_id, caller)
        return DeletedEvalRun(run_id=run_id)

    async def list_eval_items(self, request: Request) -> Page[EvalOutputItem]:
        record = self._show_runs.get(*_run_of(request), caller_of(request))
        query = EvalRunQuery.of(request.query_params)
        items = await self._show_runs.items(record)
        shown = _ordered(query, [it for it in items if query.status in (None, it["status"])])
        run_id = record.requested.job_id
        return page(
            request,
            shown,
            lambda item: EvalOutputItem.of_item(item, record),
            lambda item: f"{run_id}-{item['number']}",
        )

    async def get_eval_item(self, request: Request) -> EvalOutputItem:
        record = self._show_runs.get(*_run_of(request), caller_of(request))
        wanted = request.path_params["output_item_id"]
        for each in await self._show_runs.items(record):
            if f"{record.requested.job_id}-{each['number']}" == wanted:
                return EvalOutputItem.of_item(each, record)
        listed_at = request.url.path.rpartition("/")[0]
        raise no_such("output item", wanted, listed_at)


def _run_of(request: Request) -> tuple[str, str]:
    return request.path_params["eval_id"], request.path_params["run_id"]


def _ordered(query: EvalQuery, oldest_first: Sequence[T]) -> Sequence[T]:
    return oldest_first if query.order == "asc" else oldest_first[::-1]


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
        with suppress(NotFoundError):
            record = self._jobs.get(caller_of(request).tenant, batch_id)
            if record.requested.kind == BATCH and is_batch(record):
                return record
        raise no_such("batch", batch_id, "/v1/batches")


def is_batch(record: JobRecord) -> bool:
    """Whether a job of this kind was ordered as a batch."""
    return record.requested.spec_type in (SPEC, "")
