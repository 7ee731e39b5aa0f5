"""Jobs of kind optimize: unpack, call the use case, pack. No rules live here."""

from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_bus.kinds import OPTIMIZE
from modelmill_bus.subjects import MODEL_READY
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.announcements import announced_result

from modelmill_optimizer_builder.build_model import BuildModel


class BuildHandler:
    """Job handler of kind optimize."""

    kind = OPTIMIZE

    def __init__(self, build_model: BuildModel) -> None:
        self._build_model = build_model

    async def is_ready(self, request: JobRequested) -> bool:
        """Always: everything a job names was announced before the job was accepted."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        ready = await self._build_model(job, job.spec(BuildSpec))
        figures = dict(ready.metrics)
        return announced_result(ready.version_id, ready.digest, MODEL_READY, ready, figures)
