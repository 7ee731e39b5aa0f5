"""Webhooks: endpoints, delivery attempts, and what endpoints are sent."""

from typing import Annotated, Any, Literal, Self

from modelmill.gateway.v1.gateway_events_pb2 import WebhookAttempt
from modelmill.jobs.v1.job_pb2 import JobRequested, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.envelope import Stored
from modelmill_job_index.index import JobRecord
from pydantic import BeforeValidator, Field

from modelmill_gateway.domain.public_addresses import MAX_URL_CHARS
from modelmill_gateway.domain.webhooks import EVENT_TYPES, EventType
from modelmill_gateway.entrypoints.schemas.base import OrNull, ResponseModel, UnixSeconds
from modelmill_gateway.entrypoints.schemas.datasets import Dataset
from modelmill_gateway.entrypoints.schemas.jobs import Job
from modelmill_gateway.entrypoints.schemas.models import ModelRecord
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody

URL = "URL of the endpoint: https, at a public address, without user name or fragment."
ENDPOINT = "https://example.com/hooks/modelmill"
EVENTS = ["job.succeeded", "job.failed"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
DeliveryId = Annotated[str, Field(examples=["msg_2b8c"])]


class WebhookBody(StrictBody):
    """Request body of POST /v1/webhooks."""

    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, description=URL, examples=[ENDPOINT])
    events: list[EventType] = Field(
        list(EVENT_TYPES),
        min_length=1,
        max_length=20,
        description="Event types; all if absent.",
        examples=[EVENTS],
    )


class ChangedWebhookBody(StrictBody):
    """Request body of PATCH /v1/webhooks/{webhook_id}: what is absent stays."""

    url: str | None = Field(None, min_length=1, max_length=MAX_URL_CHARS, description=URL)
    events: list[EventType] | None = Field(None, min_length=1, max_length=20)
    enabled: bool | None = Field(
        None,
        description="Whether events are delivered; true also resets earlier failures.",
        examples=[True],
    )


class Webhook(ResponseModel):
    """An endpoint. `disabled_reason` is set when the gateway has disabled it."""

    id: str = Field(validation_alias="webhook_id", examples=["wh-6f0d2a"])
    object: Literal["webhook"] = "webhook"
    url: str = Field(examples=[ENDPOINT])
    events: list[str] = Field(validation_alias="event_types", examples=[EVENTS])
    enabled: bool = Field(examples=[True])
    disabled_reason: OrNull[str]
    created_at: UnixSeconds
    previous_secret_until: UnixSeconds | None = Field(validation_alias="previous_until")


class RegisteredWebhook(Webhook):
    """New webhook endpoint and its secret, which is shown once."""

    secret: str = Field(examples=[SECRET])


class RotatedWebhook(RegisteredWebhook):
    """Webhook endpoint with a new secret; the old one also signs until `previous_secret_until`."""


class WebhookTest(ResponseModel):
    """Confirmation that a test event is sent, once; deliveries show the attempt."""

    object: Literal["webhook.test"] = "webhook.test"
    delivery_id: DeliveryId


class WebhookDelivery(ResponseModel):
    """Delivery attempt. `delivery_id` is its webhook-id header, the same at each attempt.

    The last hundred of four days are listed; the broker may lose some.
    """

    id: str = Field(examples=["attempt-5b0f6c1e"])
    object: Literal["webhook.delivery"] = "webhook.delivery"
    delivery_id: DeliveryId
    event: str = Field(validation_alias="event_type", examples=["job.succeeded"])
    attempt: int = Field(examples=[1])
    at: UnixSeconds
    seconds: Annotated[float, BeforeValidator(lambda it: round(it, 3))] = Field(examples=[0.412])
    outcome: Literal[
        "delivered", "refused", "gone", "unreachable", "timeout", "forbidden", "unsealable"
    ]
    status: OrNull[int] = Field(examples=[200])
    next_at: UnixSeconds | None = Field(examples=[None])

    @classmethod
    def of_attempt(cls, stored: Stored[WebhookAttempt]) -> Self:
        """What came of one attempt."""
        return cls.of(stored.body, id=f"attempt-{stored.event_id}")


class WebhookEvent(ResponseModel):
    """Webhook event. `data` is a job's state, or a model or dataset as `GET` shows it."""

    type: EventType | Literal["webhook.test"] = Field(examples=["job.succeeded"])
    timestamp: str = Field(examples=["2026-11-25T12:00:00.000Z"])
    data: dict[str, Any] = Field(
        examples=[
            {
                "id": "ftjob-c81e5d",
                "object": "job",
                "kind": "train",
                "status": "succeeded",
                "attempt": 1,
                "started_at": 1764000000,
                "finished_at": 1764000095,
                "result": {"digest": "sha256:4c1f", "version_id": "mv-5d1c0e"},
                "error": None,
            }
        ]
    )


JOB_FACTS = ("id", "object", "kind", "status", "attempt", "started_at", "finished_at")
"""Of a job. Its spec may quote what somebody wrote, and receivers are not its owner."""


def job_facts(state: JobState) -> dict[str, Any]:
    """What is told of a job: ids, where it stands, and the word of its failure."""
    requested = JobRequested(job_id=state.job_id, kind=state.kind, tenant=state.tenant)
    job = Job.of_record(JobRecord(requested, state, progress=None, events=()))
    result, error = job.result, job.error
    return {
        **{name: getattr(job, name) for name in JOB_FACTS},
        "result": result and {"digest": result.digest, "version_id": result.version_id},
        "error": error and {"code": error.code},
    }


FACTS: dict[Any, Any] = {
    JobState: job_facts,
    ModelReady: lambda version: ModelRecord.of_version(version).as_dict(),
    DatasetReady: lambda dataset: Dataset.of_ready(dataset).as_dict(),
}
"""What is told of an event, by the message that it comes from."""
