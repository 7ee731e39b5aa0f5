"""Batches: files of requests that are answered in the background."""

from typing import Any, Literal, Self

from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_job_index.index import JobRecord
from pydantic import Field

from modelmill_gateway.batches.answer_batch import BATCH_EXPIRED, FINISH, VALIDATE
from modelmill_gateway.entrypoints.schemas.base import FileId, ResponseModel, UnixSeconds
from modelmill_gateway.entrypoints.schemas.parsing import Metadata, OpenBody

METADATA = {"run": "nightly"}
"""An example."""
STATUS = {
    pb.JOB_STATUS_QUEUED: "validating",
    pb.JOB_STATUS_RUNNING: "in_progress",
    # OpenAI's batches cannot be paused.
    pb.JOB_STATUS_PAUSED: "in_progress",
    pb.JOB_STATUS_SUCCEEDED: "completed",
    pb.JOB_STATUS_FAILED: "failed",
    pb.JOB_STATUS_CANCELLED: "cancelled",
}
RUNNING = {VALIDATE: "validating", FINISH: "finalizing"}
"""By the phase that it reports."""
ENDED = ("completed", "failed", "expired", "cancelled")


class BatchBody(OpenBody):
    """Request body of POST /v1/batches."""

    input_file_id: FileId = Field(
        min_length=1,
        max_length=128,
        description="File of purpose `batch`: one request a line.",
    )
    endpoint: Literal[
        "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"
    ] = Field(description="Route that answers each request.")
    completion_window: Literal["24h"] = Field(
        description="Time limit; requests that are not answered by then are errors."
    )
    metadata: Metadata | None = Field(None, examples=[METADATA])


class BatchLineError(ResponseModel):
    """Error of a line, or of the batch as a whole."""

    code: str
    message: str
    line: int | None
    param: str | None


class BatchErrors(ResponseModel):
    """Errors of a batch: at most the first hundred."""

    object: Literal["list"] = "list"
    data: list[BatchLineError]


class BatchCounts(ResponseModel):
    """Request counts: total, answered with 200, and failed."""

    total: int = Field(examples=[100])
    completed: int = Field(examples=[100])
    failed: int


class Batch(ResponseModel):
    """Batch: a file of requests that are answered in the background."""

    id: str = Field(validation_alias="job_id", examples=["batch-0b8f"])
    object: Literal["batch"] = "batch"
    endpoint: str = Field(examples=["/v1/chat/completions"])
    errors: BatchErrors | None
    input_file_id: FileId
    completion_window: Literal["24h"] = "24h"
    status: Literal[
        "completed",
        "validating",
        "in_progress",
        "finalizing",
        "failed",
        "expired",
        "cancelling",
        "cancelled",
    ]
    output_file_id: FileId | None
    error_file_id: str | None
    created_at: UnixSeconds
    in_progress_at: UnixSeconds | None = Field(validation_alias="started_at")
    expires_at: int = Field(examples=[1764086400])
    finalizing_at: None
    completed_at: UnixSeconds | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: None
    cancelled_at: int | None
    request_counts: BatchCounts
    metadata: dict[str, str] | None = Field(examples=[METADATA])

    @classmethod
    def of_record(cls, record: JobRecord) -> Self:
        """A job as OpenAI's `batch`."""
        state, created = record.state, record.requested.requested_at.seconds
        spec, summary = MessageToDict(record.requested.spec), MessageToDict(state.result.summary)
        status = batch_status(record)
        ended = state.finished_at.seconds if state.HasField("finished_at") else None
        return cls.of(
            state,
            endpoint=spec.get("endpoint", ""),
            errors=_errors(record, summary),
            input_file_id=spec.get("input_file_id", ""),
            status=status,
            output_file_id=summary.get("output_file_id"),
            error_file_id=summary.get("error_file_id"),
            created_at=created,
            expires_at=created + int(spec.get("window_seconds", 0)),
            finalizing_at=None,
            cancelling_at=None,
            request_counts=_counts(record, summary),
            metadata=spec.get("metadata"),
            **{f"{end}_at": ended if end == status else None for end in ENDED},
        )


def batch_status(record: JobRecord) -> str:
    """The one word for where it stands."""
    state = record.state
    if state.status == pb.JOB_STATUS_FAILED and state.error.code == BATCH_EXPIRED:
        return "expired"
    status = STATUS[state.status]
    if status not in ENDED and record.desired_state == pb.JOB_DESIRED_STATE_CANCEL:
        return "cancelling"
    if state.status == pb.JOB_STATUS_RUNNING and record.progress is not None:
        return RUNNING.get(record.progress.phase, status)
    # A job that waits to go on has begun.
    return "in_progress" if status == "validating" and state.result.summary.fields else status


def _counts(record: JobRecord, summary: dict[str, Any]) -> BatchCounts:
    """From the last report while it runs, from what is durable otherwise."""
    counted, progress = summary, record.progress
    total = int(summary.get("total", 0))
    if record.state.status == pb.JOB_STATUS_RUNNING and progress is not None and progress.metrics:
        counted, total = dict(progress.metrics), max(total, progress.total)
    completed, failed = int(counted.get("completed", 0)), int(counted.get("failed", 0))
    return BatchCounts(total=total, completed=completed, failed=failed)


def _errors(record: JobRecord, summary: dict[str, Any]) -> BatchErrors | None:
    """Wrong lines; else why it failed as a whole."""
    error = record.state.error
    if record.state.status != pb.JOB_STATUS_FAILED or error.code == BATCH_EXPIRED:
        return None
    lines = [BatchLineError.model_validate(each) for each in summary.get("errors", ())]
    whole = BatchLineError(code=error.code.lower(), message=error.message, line=None, param=None)
    return BatchErrors(data=lines or [whole])
