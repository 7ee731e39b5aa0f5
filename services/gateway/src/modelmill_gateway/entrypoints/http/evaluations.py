"""Evaluations: how good a model is, and what the figures come from."""

from collections.abc import AsyncIterator
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL
from modelmill_bus.kinds import EVALUATE
from modelmill_job_index.index import JobIndex
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.http.downloads import PAGE_POLICY, download
from modelmill_gateway.entrypoints.http.jobs import JobsOfKind
from modelmill_gateway.entrypoints.http.requests import caller_of, idempotency_key_of
from modelmill_gateway.entrypoints.schemas.evaluations import Evaluation, EvaluationBody
from modelmill_gateway.entrypoints.schemas.parsing import PRIORITIES, read_body
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_evaluation import CreateEvaluation

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
        jobs: JobIndex,
        evaluations: ReadsEvaluations,
    ) -> None:
        self._create_evaluation = create_evaluation
        self._evaluations = evaluations
        self._jobs = JobsOfKind(jobs, control_job, EVALUATE, "evaluation", Evaluation.of_record)
        self.list_evaluations = self._jobs.list
        self.get_evaluation = self._jobs.get
        self.cancel_evaluation = self._jobs.control(JOB_DESIRED_STATE_CANCEL)

    async def create_evaluation(self, request: Request) -> Evaluation:
        body = await read_body(request, EvaluationBody)
        record = await self._create_evaluation(
            body.spec(),
            caller_of(request),
            idempotency_key_of(request),
            PRIORITIES[body.priority],
        )
        return Evaluation.of_record(record)

    async def get_evaluation_report(self, request: Request) -> Response:
        wanted = request.query_params.get("format", "json")
        if wanted not in MEDIA_TYPES:
            raise BadRequestError(f"format must be {', '.join(MEDIA_TYPES)}", param="format")
        job_id = self._jobs.record(request).requested.job_id
        chunks = self._evaluations.read(
            tenant=caller_of(request).tenant, job_id=job_id, wanted=wanted
        )
        policy = {"content-security-policy": PAGE_POLICY}
        return await download(chunks, f"{job_id}.{wanted}", MEDIA_TYPES[wanted], **policy)
