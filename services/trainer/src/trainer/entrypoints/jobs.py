"""Jobs of kind train: unpack, call the use case, pack."""

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from jobs.active import ActiveJob
from jobs.subjects import MODEL_READY
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec

from trainer.create_fine_tuning_job import KIND
from trainer.train_model import TrainModel, TunedModel


class TrainHandler:
    """What the worker calls."""

    kind = KIND

    def __init__(self, train_model: TrainModel) -> None:
        self._train_model = train_model

    async def is_ready(self, request: JobRequested) -> bool:
        """Whether the dataset is there, or will never be."""
        spec = ParseDict(MessageToDict(request.spec), TrainSpec(), ignore_unknown_fields=True)
        return await self._train_model.can_begin(request.tenant, spec)

    async def __call__(self, job: ActiveJob) -> JobResult:
        tuned = await self._train_model(job, job.spec(TrainSpec))
        return _result(tuned)


def _result(tuned: TunedModel) -> JobResult:
    return JobResult(
        digest=tuned.ready.digest,
        version_id=tuned.ready.version_id,
        announce_subject=MODEL_READY,
        announcement=ParseDict(MessageToDict(tuned.ready), Struct()),
        summary=_struct(tuned.summary),
    )


def _struct(document: dict[str, Any]) -> Struct:
    return ParseDict(document, Struct())
