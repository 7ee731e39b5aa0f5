"""Jobs of kind train and evaluate: unpack, call the use case, pack. No rules live here."""

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.kinds import EVALUATE, TRAIN
from modelmill_bus.subjects import MODEL_READY
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.announcements import announced_result

from modelmill_trainer.evaluate_model import EvaluateModel
from modelmill_trainer.train_model import TrainModel


class TrainHandler:
    """Job handler."""

    kind = TRAIN

    def __init__(self, train_model: TrainModel) -> None:
        self._train_model = train_model

    async def is_ready(self, request: JobRequested) -> bool:
        """Whether the datasets exist, or their jobs have failed."""
        spec = ParseDict(MessageToDict(request.spec), TrainSpec(), ignore_unknown_fields=True)
        return await self._train_model.can_begin(request.tenant, spec)

    async def __call__(self, job: ActiveJob) -> JobResult:
        tuned = await self._train_model(job, job.spec(TrainSpec))
        ready = tuned.ready
        return announced_result(ready.version_id, ready.digest, MODEL_READY, ready, tuned.summary)


class EvaluateHandler:
    """Job handler."""

    kind = EVALUATE

    def __init__(self, evaluate_model: EvaluateModel) -> None:
        self._evaluate_model = evaluate_model

    async def is_ready(self, request: JobRequested) -> bool:
        """Always true: models, dataset and files existed when the job was accepted."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        found = await self._evaluate_model(job, job.spec(EvaluationSpec))
        return JobResult(digest=found.digest, summary=ParseDict(found.summary, Struct()))
