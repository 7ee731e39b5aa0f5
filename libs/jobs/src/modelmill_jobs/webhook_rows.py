"""The part of the table in `modelmill_jobs.subjects` that is about webhook endpoints."""

from modelmill.gateway.v1.gateway_events_pb2 import WebhookAttempt, WebhookDue, WebhookState

from modelmill_jobs.rows import HOUR_SECONDS, MIB, Durable, Row, Stream

GATEWAY = ("gateway",)
READERS = ("gateway", "cli")

WEBHOOK_STATE = Row("webhook.state.{webhook_id}", WebhookState, GATEWAY, READERS)

JOBS_TOLD = Durable("gateway-webhook-jobs", "gateway", "job.state.*")
MODELS_TOLD = Durable("gateway-webhook-models", "gateway", "model.ready")
DATASETS_TOLD = Durable("gateway-webhook-datasets", "gateway", "dataset.ready")
"""Consumers of facts that endpoints are told."""
DELIVERIES = Durable("gateway-webhooks", "gateway", "webhook.due.*")

WEBHOOK_STREAMS = (
    Stream(
        "WEBHOOKS",
        (Row("webhook.due.{webhook_id}", WebhookDue, GATEWAY, READERS),),
        max_bytes=256 * MIB,
        # Longer than the longest wait for an attempt; each attempt begins a message of its own.
        max_age_seconds=96 * HOUR_SECONDS,
        work_queue=True,
        # An endpoint that is away for days takes no room from others.
        max_per_subject=10_000,
        consumers=(DELIVERIES,),
    ),
    Stream(
        "DELIVERIES",
        (Row("webhook.attempt.{webhook_id}", WebhookAttempt, GATEWAY, READERS),),
        max_bytes=64 * MIB,
        max_age_seconds=96 * HOUR_SECONDS,
        lossy=True,
        max_per_subject=100,
    ),
)
