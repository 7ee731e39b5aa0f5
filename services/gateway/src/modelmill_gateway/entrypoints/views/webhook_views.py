"""Webhooks as their owners read them, and what their receivers are told."""

from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import WebhookAttempt, WebhookState
from modelmill.jobs.v1.job_pb2 import JobRequested, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.envelope import Stored
from modelmill_job_index.index import JobRecord

from modelmill_gateway.entrypoints.views.dataset_views import dataset_view
from modelmill_gateway.entrypoints.views.job_views import (
    View,
    job_view,
    maybe_unix_seconds,
    unix_seconds,
)
from modelmill_gateway.entrypoints.views.model_views import model_view

JOB_FACTS = ("id", "object", "kind", "status", "attempt", "started_at", "finished_at")
"""Of a job's view. Its spec may quote what somebody wrote, and receivers are not its owner."""


def webhook_view(state: WebhookState) -> View:
    """An endpoint. Its secret is in no view: it was shown when it was made."""
    return {
        "id": state.webhook_id,
        "object": "webhook",
        "url": state.url,
        "events": list(state.event_types),
        "enabled": state.enabled,
        "disabled_reason": state.disabled_reason or None,
        "created_at": unix_seconds(state.created_at),
        "previous_secret_until": maybe_unix_seconds(state, "previous_until"),
    }


def delivery_view(stored: Stored[WebhookAttempt]) -> View:
    """What came of one attempt."""
    attempt = stored.body
    return {
        "id": f"attempt-{stored.event_id}",
        "object": "webhook.delivery",
        "delivery_id": attempt.delivery_id,
        "event": attempt.event_type,
        "attempt": attempt.attempt,
        "at": unix_seconds(attempt.at),
        "seconds": round(attempt.seconds, 3),
        "outcome": attempt.outcome,
        "status": attempt.status or None,
        "next_at": maybe_unix_seconds(attempt, "next_at"),
    }


def job_facts(state: JobState) -> View:
    """What is told of a job: ids, where it stands, and the word of its failure."""
    requested = JobRequested(job_id=state.job_id, kind=state.kind, tenant=state.tenant)
    view = job_view(JobRecord(requested, state, progress=None, events=()))
    result, error = view["result"], view["error"]
    return {
        **{name: view[name] for name in JOB_FACTS},
        "result": {name: result[name] for name in ("digest", "version_id")} if result else None,
        "error": {"code": error["code"]} if error else None,
    }


FACTS: dict[Any, Any] = {JobState: job_facts, ModelReady: model_view, DatasetReady: dataset_view}
"""What is told of an event, by the message that it comes from."""
