"""Batches as OpenAI's clients read them."""

from typing import Any

from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_job_index.index import JobRecord

from modelmill_gateway.batches.answer_batch import BATCH_EXPIRED, FINISH, VALIDATE
from modelmill_gateway.entrypoints.views.job_views import (
    View,
    as_object,
    maybe_unix_seconds,
    unix_seconds,
)

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


def batch_view(record: JobRecord) -> View:
    """A job as OpenAI's `batch`."""
    requested, state = record.requested, record.state
    spec, summary = as_object(requested.spec), as_object(state.result.summary)
    created = unix_seconds(requested.requested_at)
    status = batch_status(record)
    return {
        "id": requested.job_id,
        "object": "batch",
        "endpoint": spec.get("endpoint", ""),
        "errors": _errors(record, summary),
        "input_file_id": spec.get("input_file_id", ""),
        "completion_window": "24h",
        "status": status,
        "output_file_id": summary.get("output_file_id"),
        "error_file_id": summary.get("error_file_id"),
        "created_at": created,
        "in_progress_at": maybe_unix_seconds(state, "started_at"),
        "expires_at": created + int(spec.get("window_seconds", 0)),
        "finalizing_at": None,
        **_ends(status, maybe_unix_seconds(state, "finished_at")),
        "cancelling_at": None,
        "request_counts": _counts(record, summary),
        "metadata": spec.get("metadata"),
    }


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


def _ends(status: str, at: int | None) -> View:
    return {f"{end}_at": at if end == status else None for end in ENDED}


def _counts(record: JobRecord, summary: View) -> View:
    """From the last report while it runs, from what is durable otherwise."""
    total, completed, failed = (int(summary.get(each, 0)) for each in ("total", *COUNTED))
    progress = record.progress
    if record.state.status == pb.JOB_STATUS_RUNNING and progress is not None and progress.metrics:
        metrics = progress.metrics
        total = max(total, progress.total)
        completed, failed = (int(metrics.get(each, 0)) for each in COUNTED)
    return {"total": total, "completed": completed, "failed": failed}


COUNTED = ("completed", "failed")


def _errors(record: JobRecord, summary: View) -> View | None:
    """Wrong lines; else why it failed as a whole."""
    error = record.state.error
    if record.state.status != pb.JOB_STATUS_FAILED or error.code == BATCH_EXPIRED:
        return None
    told: list[dict[str, Any]] = [
        {**each, "line": None if each["line"] is None else int(each["line"])}
        for each in summary.get("errors", ())
    ]
    whole = {"code": error.code.lower(), "message": error.message, "line": None, "param": None}
    return {"object": "list", "data": told or [whole]}
