"""What several procedures read from requests, and jobs as they are shown over gRPC."""

from typing import Any, TypeVar

from google.protobuf.message import Message
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import (
    JOB_PRIORITY_NORMAL,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobError,
    JobProgress,
    JobState,
)
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.kinds import dataset_id_of
from modelmill_job_index.index import JobEvent, JobRecord
from modelmill_jobs.sizes import as_resources

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import DEFAULT_LIMIT, MAX_LIMIT, PageRequest
from modelmill_gateway.entrypoints.http.requests import checked_key
from modelmill_gateway.entrypoints.schemas.jobs import shown_tail, trained_tokens
from modelmill_gateway.ordering.estimate_build import EstimatedBuild
from modelmill_gateway.ordering.estimate_evaluation import EstimatedEvaluation
from modelmill_gateway.ordering.estimate_training import TrainingEstimate

MessageT = TypeVar("MessageT", bound=Message)


def page_request(after: str, limit: int) -> PageRequest:
    """The page that a request asks for; a limit of 0 is the default.

    Raises:
        BadRequestError: the limit is too high.
    """
    if limit > MAX_LIMIT:
        raise BadRequestError(f"limit must be from 1 to {MAX_LIMIT}", param="limit")
    return PageRequest(after, limit or DEFAULT_LIMIT)


def idempotency_key_of(request: Any) -> str:
    """A request's key, within the limits that HTTP sets to its header. Raises BadRequestError."""
    return checked_key(request.idempotency_key, "idempotency_key")


def alike(message: Message, kind: type[MessageT]) -> MessageT:
    """A message of another type that has fields of the same names and types."""
    return kind(**{field.name: value for field, value in message.ListFields()})


def job_message(record: JobRecord) -> pb.Job:
    """A job as its owner sees it: no worker's name, nonce or fence."""
    requested, state = record.requested, record.state
    job = pb.Job(
        id=requested.job_id,
        kind=requested.kind,
        status=state.status,
        desired_state=record.desired_state,
        spec=requested.spec,
        requested_by=requested.requested_by,
        requested_at=requested.requested_at,
        attempt=state.attempt,
        spec_sha256=requested.spec_sha256,
        cost=_cost(record),
        priority=requested.priority or JOB_PRIORITY_NORMAL,
        queue_position=record.turn.position or 0,
        waiting_reason=record.turn.reason,
    )
    if record.turn.starts_at is not None:
        job.estimated_start.FromDatetime(record.turn.starts_at)
    for moment in ("started_at", "finished_at"):
        if state.HasField(moment):
            getattr(job, moment).CopyFrom(getattr(state, moment))
    if state.status == JOB_STATUS_RUNNING and record.progress is not None:
        job.progress.CopyFrom(_shown_progress(record.progress))
    if state.status == JOB_STATUS_SUCCEEDED:
        job.result_id = state.result.version_id
        job.summary.CopyFrom(state.result.summary)
    if state.error.code:
        job.error.CopyFrom(_shown_error(state.error))
    return job


def estimate_message(estimate: TrainingEstimate) -> pb.EstimateFineTuningResponse:
    """What a training would take; fields that are not known are absent."""
    sized, step = estimate.sized, estimate.step
    shown = pb.EstimateFineTuningResponse(
        spec=sized.spec,
        test_rows=sized.test_rows,
        trained_tokens=step.tokens,
        seconds=step.seconds,
        earlier_job_ids=estimate.earlier_job_ids,
        peak_memory_bytes=step.memory_bytes or 0,
        needs=sized.needs,
        worker=as_resources(estimate.worker.largest),
        waiting_reason=estimate.worker.waiting_reason,
        notes=[note.text for note in estimate.notes],
        note_codes=[note.code for note in estimate.notes],
    )
    for name in ("train_rows", "epochs", "batch_size"):
        if sized.HasField(name):
            setattr(shown, name, getattr(sized, name))
    return shown


def build_estimate_message(estimate: EstimatedBuild) -> pb.EstimateOptimizationResponse:
    """What a build would take; fields that are not known are absent."""
    return pb.EstimateOptimizationResponse(
        spec=estimate.sized.spec,
        test_rows=estimate.sized.test_rows,
        built_bytes=estimate.built_bytes,
        seconds=estimate.seconds,
        earlier_job_ids=estimate.earlier_job_ids,
        needs=estimate.sized.needs,
        worker=as_resources(estimate.worker.largest),
        waiting_reason=estimate.worker.waiting_reason,
        notes=[note.text for note in estimate.notes],
        note_codes=[note.code for note in estimate.notes],
    )


def evaluation_estimate_message(estimate: EstimatedEvaluation) -> pb.EstimateEvaluationResponse:
    """What an evaluation would take; fields that are not known are absent."""
    return pb.EstimateEvaluationResponse(
        spec=estimate.sized.spec,
        rows=estimate.rows,
        most_rows=estimate.most_rows,
        seconds=estimate.seconds,
        earlier_job_ids=estimate.earlier_job_ids,
        needs=estimate.sized.needs,
        worker=as_resources(estimate.worker.largest),
        waiting_reason=estimate.worker.waiting_reason,
        notes=[note.text for note in estimate.notes],
        note_codes=[note.code for note in estimate.notes],
    )


def dataset_message(dataset: DatasetReady | JobRecord) -> pb.Dataset:
    """A dataset, or what will become one, by the job that makes it."""
    if isinstance(dataset, DatasetReady):
        return pb.Dataset(id=dataset.dataset_id, ready=dataset)
    return pb.Dataset(id=dataset_id_of(dataset.requested.job_id), job=job_message(dataset))


def event_message(event: JobEvent, shown_id: str) -> pb.WatchJobResponse:
    """Something that happened to a job."""
    shown = pb.WatchJobResponse(event_id=shown_id, message=event.message)
    shown.at.FromDatetime(event.at)
    body: Message = event.body
    if isinstance(body, JobState):
        shown.status = body.status
        if body.error.code:
            shown.error.CopyFrom(_shown_error(body.error))
    elif isinstance(body, JobProgress):
        shown.progress.CopyFrom(_shown_progress(body))
    return shown


def _cost(record: JobRecord) -> pb.JobCost:
    return pb.JobCost(
        work_seconds=record.work_seconds,
        attempts=record.state.attempt,
        trained_tokens=trained_tokens(record),
    )


def _shown_progress(progress: JobProgress) -> JobProgress:
    shown = JobProgress()
    shown.CopyFrom(progress)
    shown.ClearField("fence")
    return shown


def _shown_error(error: JobError) -> JobError:
    return JobError(
        code=error.code,
        message=error.message,
        remedy=error.remedy,
        log_tail=shown_tail(error.log_tail),
    )
