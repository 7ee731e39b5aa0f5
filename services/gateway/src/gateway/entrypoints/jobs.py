"""Jobs of kind batch: unpack, call the use case, pack. No rules live here."""

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from jobs.active import ActiveJob
from jobs.kinds import BATCH
from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult

from gateway.answer_batch import AnswerBatch


class BatchHandler:
    """What the worker calls."""

    kind = BATCH

    def __init__(self, answer_batch: AnswerBatch) -> None:
        self._answer_batch = answer_batch

    async def is_ready(self, request: JobRequested) -> bool:
        """Its file was there before it was ordered."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        summary = await self._answer_batch(job, job.spec(BatchSpec))
        return JobResult(summary=ParseDict(summary, Struct()))
