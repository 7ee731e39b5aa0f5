"""Evaluations: how good a model is, and what the figures come from."""

from collections.abc import AsyncIterator
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL
from modelmill_bus.kinds import EVALUATE
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.bodies.evaluation_body import EvaluationBody
from modelmill_gateway.entrypoints.http.dataset_stories import PAGE_POLICY
from modelmill_gateway.entrypoints.http.downloads import download
from modelmill_gateway.entrypoints.http.jobs import Jobs, job_of
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.schemas.parsing import PRIORITIES, read_body
from modelmill_gateway.entrypoints.views.job_views import evaluation_view
from modelmill_gateway.entrypoints.views.pages import page_view
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_evaluation import CreateEvaluation

WHAT = "evaluation"
MEDIA_TYPES = {
    "json": "application/json",
    "rows": "application/jsonl",
    "html": "text/html; charset=utf-8",
}


class ReadsEvaluations(Protocol):
    """Who made them; every call is for one tenant."""

    def read(self, *, tenant: str, job_id: str, wanted: str) -> AsyncIterator[bytes]: ...


class EvaluationRoutes:
    """/v1/evaluations."""

    def __init__(
        self,
        create_evaluation: CreateEvaluation,
        control_job: ControlJob,
        jobs: Jobs,
        evaluations: ReadsEvaluations,
    ) -> None:
        self._create_evaluation = create_evaluation
        self._control_job = control_job
        self._jobs = jobs
        self._evaluations = evaluations

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "create_evaluation": self._post,
            "list_evaluations": self._list,
            "get_evaluation": self._get,
            "get_evaluation_report": self._report,
            "cancel_evaluation": self._cancel,
        }

    async def _post(self, request: Request) -> Response:
        body = await read_body(request, EvaluationBody)
        record = await self._create_evaluation(
            body.spec(),
            caller_of(request),
            idempotency_key_of(request),
            PRIORITIES[body.priority],
        )
        return json_response(evaluation_view(record), 202)

    async def _list(self, request: Request) -> Response:
        records = self._jobs.list(caller_of(request).tenant, EVALUATE)
        page = page_of(records, page_request_of(request), lambda job: job.requested.job_id)
        return json_response(page_view(page, evaluation_view))

    async def _get(self, request: Request) -> Response:
        return json_response(evaluation_view(job_of(request, self._jobs, EVALUATE, WHAT)))

    async def _report(self, request: Request) -> Response:
        wanted = request.query_params.get("format", "json")
        if wanted not in MEDIA_TYPES:
            raise BadRequestError(f"format must be {', '.join(MEDIA_TYPES)}", param="format")
        job = job_of(request, self._jobs, EVALUATE, WHAT)
        chunks = self._evaluations.read(
            tenant=caller_of(request).tenant, job_id=job.requested.job_id, wanted=wanted
        )
        name, policy = f"{job.requested.job_id}.{wanted}", {"content-security-policy": PAGE_POLICY}
        return await download(chunks, name, MEDIA_TYPES[wanted], **policy)

    async def _cancel(self, request: Request) -> Response:
        job = job_of(request, self._jobs, EVALUATE, WHAT)
        caller = caller_of(request)
        record = await self._control_job(job.requested.job_id, JOB_DESIRED_STATE_CANCEL, caller)
        return json_response(evaluation_view(record))
