"""Training jobs, as OpenAI's clients order, read and control them."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
)
from modelmill_bus.envelope import text_of
from modelmill_bus.kinds import TRAIN
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.entrypoints.http.jobs import JobEventReplies, JobsOfKind
from modelmill_gateway.entrypoints.http.requests import (
    caller_of,
    idempotency_key_of,
    page,
)
from modelmill_gateway.entrypoints.schemas.base import Page, ResponseModel
from modelmill_gateway.entrypoints.schemas.fine_tuning import (
    Checkpoint,
    FineTuningBody,
    FineTuningJob,
    checkpoints_of,
    in_callers_words,
    order_from,
)
from modelmill_gateway.entrypoints.schemas.fine_tuning_estimate import FineTuningEstimate
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.entrypoints.schemas.queries import FineTuningQuery
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_fine_tuning_job import CreateFineTuningJob
from modelmill_gateway.ordering.estimate_training import EstimateTraining


class FineTuningRoutes:
    """/v1/fine_tuning/jobs."""

    def __init__(
        self,
        create_fine_tuning_job: CreateFineTuningJob,
        estimate_training: EstimateTraining,
        control_job: ControlJob,
        events: JobEventReplies,
        jobs: JobIndex,
    ) -> None:
        self._create_fine_tuning_job = create_fine_tuning_job
        self._estimate_training = estimate_training
        self._events = events
        self._jobs = jobs
        self._training = JobsOfKind(jobs, control_job, TRAIN, "fine-tuning job", self._shown)
        self.get_fine_tuning = self._training.get
        self.cancel_fine_tuning = self._training.control(JOB_DESIRED_STATE_CANCEL)
        self.pause_fine_tuning = self._training.control(JOB_DESIRED_STATE_PAUSE)
        self.resume_fine_tuning = self._training.control(JOB_DESIRED_STATE_RUN)

    async def create_fine_tuning(self, request: Request) -> FineTuningJob:
        order = order_from(await read_body(request, FineTuningBody))
        caller = caller_of(request)
        key = idempotency_key_of(request)
        with _said_to_callers():
            record = await self._create_fine_tuning_job(order, caller, key)
        return self._shown(record)

    async def estimate_fine_tuning(self, request: Request) -> FineTuningEstimate:
        order = order_from(await read_body(request, FineTuningBody))
        with _said_to_callers():
            estimate = await self._estimate_training(order, caller_of(request))
        return FineTuningEstimate.of_estimate(estimate)

    async def list_fine_tuning(self, request: Request) -> Page[FineTuningJob]:
        wanted = FineTuningQuery.of(request.query_params).metadata
        known = self._jobs.list(caller_of(request).tenant, TRAIN)
        return self._training.page(request, [job for job in known if _has(job, wanted)])

    async def list_fine_tuning_events(self, request: Request) -> Response | ResponseModel:
        job = self._training.record(request)
        return await self._events.reply(request, job, "fine_tuning.job.event")

    async def list_fine_tuning_checkpoints(self, request: Request) -> Page[Checkpoint]:
        job = self._training.record(request)
        saved = checkpoints_of(job, await self._events.all_events(job))
        return page(request, saved, lambda checkpoint: checkpoint, lambda it: it.id)

    def _shown(self, record: JobRecord) -> FineTuningJob:
        """With the files that its datasets are made from, where those are known."""
        return FineTuningJob.of_record(
            record, self._file_of(record, "dataset"), self._file_of(record, "validation_dataset")
        )

    def _file_of(self, record: JobRecord, role: str) -> str:
        spec = record.requested.spec
        source = text_of(spec, f"{role}_id")
        made_by = text_of(spec, f"{role}_job_id")
        if made_by:
            try:
                dataset_job = self._jobs.get(record.requested.tenant, made_by)
            except NotFoundError:
                return source
            source = text_of(dataset_job.requested.spec, "file_id") or source
        return source


@contextmanager
def _said_to_callers() -> Iterator[None]:
    """Within the block, what the trainer says is wrong has the body's names of fields."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError([in_callers_words(each) for each in error.errors]) from error


def _has(record: JobRecord, wanted: dict[str, str] | None) -> bool:
    """Whether a job has these pairs of metadata; for None, whether it has no metadata at all."""
    spec = record.requested.spec.fields
    own = spec["metadata"].struct_value.fields if "metadata" in spec else {}
    if wanted is None:
        return not own
    return all(key in own and own[key].string_value == wanted[key] for key in wanted)
