"""The part of the trainer that evaluates: real jobs that nobody works on."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from modelmill.jobs.v1.job_pb2 import Resources
from modelmill.trainer.v1 import evaluation_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceServicer
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError

DATASET_ROWS = 88
"""Of every dataset."""
ListRows = Callable[[pb.ListEvaluationRowsRequest], pb.ListEvaluationRowsResponse]


class FakeEvaluations(TrainerServiceServicer):
    """Accepts evaluations, checks two of the rules, and has what tests put into `found`."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self.can_ask = True
        self.evaluations: list[pb.EvaluationSpec] = []
        self.found: dict[str, bytes] = {}
        """By job."""
        self.reports: dict[str, bytes] = {}
        """The same: figures as JSON, and as nothing else."""
        self.rows: dict[str, list[pb.EvaluationRow]] = {}
        """The same."""
        self.rows_asked: list[pb.ListEvaluationRowsRequest] = []
        self.list_rows: ListRows | None = None
        """What chooses among rows in place of taking them as they come."""

    async def CreateEvaluationJob(
        self, request: pb.CreateEvaluationJobRequest, context: Any
    ) -> pb.CreateEvaluationJobResponse:
        spec = self._checked(request.spec)
        self.evaluations.append(spec)
        job = await self._queue.submit(
            kind="evaluate",
            prefix="job",
            tenant=request.tenant,
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=spec,
            priority=request.priority,
        )
        return pb.CreateEvaluationJobResponse(job_id=job.job_id, sequence=job.sequence)

    async def SizeEvaluationJob(
        self, request: pb.SizeEvaluationJobRequest, context: Any
    ) -> pb.SizeEvaluationJobResponse:
        spec = self._checked(request.spec)
        return pb.SizeEvaluationJobResponse(
            spec=spec,
            dataset_rows=DATASET_ROWS if spec.dataset_id else 0,
            needs=Resources(cpus=1, memory_bytes=512 << 20),
            worker=Resources(cpus=2, memory_bytes=4 << 30),
        )

    def _checked(self, spec: pb.EvaluationSpec) -> pb.EvaluationSpec:
        if not self.can_ask:
            raise PreconditionError("the trainer has no inference service to ask")
        errors = [f"measure {name!r} is not known" for name in spec.measures if name == "vibes"]
        if not spec.dataset_id and not spec.tasks:
            errors.append("give a dataset_id, tasks or both")
        if errors:
            raise InvalidInputError(errors)
        return spec

    async def DownloadEvaluation(
        self, request: pb.DownloadEvaluationRequest, context: Any
    ) -> AsyncIterator[pb.DownloadEvaluationResponse]:
        if request.format == "json" and request.job_id in self.reports:
            yield pb.DownloadEvaluationResponse(chunk=self.reports[request.job_id])
            return
        if request.job_id not in self.found:
            raise NotFoundError(f"no finished evaluation {request.job_id!r}")
        if request.format not in ("json", "rows", "html"):
            raise InvalidInputError(f"format must be json, rows, html, got {request.format!r}")
        for chunk in (request.format.encode() + b" ", self.found[request.job_id]):
            yield pb.DownloadEvaluationResponse(chunk=chunk)

    async def ListEvaluationRows(
        self, request: pb.ListEvaluationRowsRequest, context: Any
    ) -> pb.ListEvaluationRowsResponse:
        self.rows_asked.append(request)
        if self.list_rows is not None:
            return self.list_rows(request)
        if request.job_id not in self.rows:
            raise NotFoundError(f"no finished evaluation {request.job_id!r}")
        behind = [row for row in self.rows[request.job_id] if row.line > request.after]
        shown = behind[: request.limit]
        return pb.ListEvaluationRowsResponse(rows=shown, has_more=len(shown) < len(behind))
