"""Jobs of kind batch: unpack, call the use case, pack. No rules live here."""

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec, EvalRunSpec
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill_bus.kinds import BATCH
from modelmill_jobs.active import ActiveJob

from modelmill_gateway.batches.answer_batch import AnswerBatch
from modelmill_gateway.evals.run_eval import RunEval


class BatchHandler:
    """What the worker calls."""

    kind = BATCH

    def __init__(self, answer_batch: AnswerBatch, run_eval: RunEval) -> None:
        self._answer_batch = answer_batch
        self._run_eval = run_eval

    async def is_ready(self, request: JobRequested) -> bool:
        """Its file was there before it was ordered."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        digest = ""
        if job.request.spec_type == EvalRunSpec.DESCRIPTOR.full_name:
            digest, summary = await self._run_eval(job, job.spec(EvalRunSpec))
        else:
            summary = await self._answer_batch(job, job.spec(BatchSpec))
        return JobResult(digest=digest, summary=ParseDict(summary, Struct()))
