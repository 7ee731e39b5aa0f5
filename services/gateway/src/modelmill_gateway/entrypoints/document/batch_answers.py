"""Shapes of batches, with examples."""

from typing import Literal

from modelmill_gateway.entrypoints.document.examples import AT
from modelmill_gateway.entrypoints.document.shape import Answer, Page


class BatchLineError(Answer):
    """Error of a line, or of the batch as a whole."""

    code: str
    message: str
    line: int | None
    param: str | None


class BatchErrors(Answer):
    """Errors of a batch: at most the first hundred."""

    object: Literal["list"]
    data: list[BatchLineError]


class BatchCounts(Answer):
    """Request counts: total, answered with 200, and failed."""

    total: int
    completed: int
    failed: int


class Batch(Answer):
    """Batch: a file of requests that are answered in the background."""

    id: str
    object: Literal["batch"]
    endpoint: str
    errors: BatchErrors | None
    input_file_id: str
    completion_window: Literal["24h"]
    status: Literal[
        "validating",
        "in_progress",
        "finalizing",
        "completed",
        "failed",
        "expired",
        "cancelling",
        "cancelled",
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: None
    cancelled_at: int | None
    request_counts: BatchCounts
    metadata: dict[str, str] | None


class BatchPage(Page[Batch]):
    """Page of the tenant's batches."""


BODY = {
    "input_file_id": "file-91c3d8",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
    "metadata": {"run": "nightly"},
}
BATCH = {
    "id": "batch-0b8f",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "errors": None,
    "input_file_id": "file-91c3d8",
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": "file-5e0a11",
    "error_file_id": None,
    "created_at": AT,
    "in_progress_at": AT + 1,
    "expires_at": AT + 86400,
    "finalizing_at": None,
    "completed_at": AT + 60,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 100, "completed": 100, "failed": 0},
    "metadata": {"run": "nightly"},
}
