"""Jobs of kind optimize: unpack, call the use case, pack. No rules live here."""

from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_bus.kinds import OPTIMIZE
from modelmill_bus.subjects import MODEL_READY
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.announcements import announced_result

from modelmill_optimizer_builder.build_model import BuildModel
from modelmill_optimizer_builder.optimize_model import OptimizeModel
from modelmill_optimizer_builder.search_spec import is_search


class BuildHandler:
    """Job handler of kind optimize."""

    kind = OPTIMIZE

    def __init__(self, build_model: BuildModel, optimize_model: OptimizeModel) -> None:
        self._build_model = build_model
        self._optimize_model = optimize_model

    async def is_ready(self, request: JobRequested) -> bool:
        """Always: everything a job names was announced before the job was accepted."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        spec = job.spec(BuildSpec)
        if is_search(spec):
            return await self._optimize_model(job, spec)
        ready = await self._build_model(job, spec)
        figures = dict(ready.metrics)
        return announced_result(ready.version_id, ready.digest, MODEL_READY, ready, figures)
