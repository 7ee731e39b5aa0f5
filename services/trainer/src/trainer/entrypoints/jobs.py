"""Jobs of kind train: unpack, call the use case, pack. No rules live here."""

from google.protobuf.json_format import MessageToDict, ParseDict
from jobs.active import ActiveJob
from jobs.kinds import TRAIN
from jobs.results import announced_result
from jobs.subjects import MODEL_READY
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec

from trainer.train_model import TrainModel


class TrainHandler:
    """What the worker calls."""

    kind = TRAIN

    def __init__(self, train_model: TrainModel) -> None:
        self._train_model = train_model

    async def is_ready(self, request: JobRequested) -> bool:
        """Whether the dataset is there, or will never be."""
        spec = ParseDict(MessageToDict(request.spec), TrainSpec(), ignore_unknown_fields=True)
        return await self._train_model.can_begin(request.tenant, spec)

    async def __call__(self, job: ActiveJob) -> JobResult:
        tuned = await self._train_model(job, job.spec(TrainSpec))
        ready = tuned.ready
        return announced_result(ready.version_id, ready.digest, MODEL_READY, ready, tuned.summary)
