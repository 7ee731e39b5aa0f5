"""Put each event before every endpoint that is to hear of it."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.gateway.v1.gateway_events_pb2 import WebhookDue, WebhookState
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import DATASETS_TOLD, JOBS_TOLD, MODELS_TOLD, webhook_due
from modelmill_job_index.index import Announcements, announced_by
from modelmill_service_kit.errors import UnavailableError

from modelmill_gateway.domain.webhooks import (
    DATASET_EVENT,
    MODEL_EVENT,
    TEST_EVENT,
    Event,
    delivery_id,
)
from modelmill_gateway.webhooks.webhook_book import WebhookBook

SOURCES = (JOBS_TOLD, MODELS_TOLD, DATASETS_TOLD)
"""Which all replicas share."""
JOB_EVENT = {
    JOB_STATUS_RUNNING: "job.running",
    JOB_STATUS_PAUSED: "job.paused",
    JOB_STATUS_SUCCEEDED: "job.succeeded",
    JOB_STATUS_FAILED: "job.failed",
    JOB_STATUS_CANCELLED: "job.cancelled",
}

ANNOUNCED_SECONDS = 2.0

Facts = Callable[[Any], Mapping[str, Any]]
"""What is told of a job's state, a version or a dataset."""


class TellWebhooks:
    """Reads the facts of jobs, models and datasets, and writes one message for each endpoint.

    The message's id is made of endpoint and event, so that reading an event again tells it once.

    Args:
        facts: by type of message.
        announcements: what jobs made; nobody is told of a success before that can be found.
    """

    def __init__(
        self,
        bus: Bus,
        book: WebhookBook,
        facts: Mapping[type[Message], Facts],
        announcements: Announcements,
    ) -> None:
        self._bus = bus
        self._book = book
        self._facts = facts
        self._announcements = announcements

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until `stopping`."""
        async with asyncio.TaskGroup() as tasks:
            for source in SOURCES:
                reading = self._bus.consume(source.name, [source.filter], self._tell, stopping)
                tasks.create_task(reading)

    async def test(self, endpoint: WebhookState) -> str:
        """Send one event that means nothing; its delivery id."""
        now = datetime.now(UTC)
        data = {"id": endpoint.webhook_id, "object": "webhook"}
        event = Event(uuid.uuid4().hex, TEST_EVENT, endpoint.tenant, now, "", 0, data)
        return await self._put(event, endpoint)

    async def _tell(self, stored: Stored[Any]) -> None:
        event = self._event_of(stored)
        if event is None or not event.is_news(datetime.now(UTC)):
            return
        await self._until_announced(stored)
        # Another replica may have taken a registration that came before the event.
        await self._book.catch_up()
        for endpoint in self._book.told_of(event):
            await self._put(event, endpoint)

    async def _until_announced(self, stored: Stored[Any]) -> None:
        result = announced_by(stored)
        if result is None:
            return
        try:
            async with asyncio.timeout(ANNOUNCED_SECONDS):
                await self._announcements.until(result)
        except TimeoutError as error:
            # The message comes again; whatever waits behind it need not wait as well.
            raise UnavailableError(f"{result.version_id} is not announced yet") from error

    async def _put(self, event: Event, endpoint: WebhookState) -> str:
        due = WebhookDue(
            webhook_id=endpoint.webhook_id,
            tenant=endpoint.tenant,
            delivery_id=delivery_id(endpoint.webhook_id, event.key),
            event_type=event.type,
            payload=event.payload(),
        )
        await self._bus.publish(webhook_due(due.webhook_id), due, msg_id=due.delivery_id)
        return due.delivery_id

    def _event_of(self, stored: Stored[Any]) -> Event | None:
        """The event that a message is; None when nobody is told of such."""
        body = stored.body
        data = self._facts[type(body)]
        if isinstance(body, JobState):
            # Only the claim itself has no fence: a checkpoint of a running job is no event.
            if body.status not in JOB_EVENT or (body.status == JOB_STATUS_RUNNING and body.fence):
                return None
            kind, key = JOB_EVENT[body.status], _key(body)
            at, stream = body.updated_at, "JOBS"
        elif isinstance(body, ModelReady):
            kind, key, at, stream = MODEL_EVENT, body.version_id, body.created_at, "MODELS"
        else:
            kind, key, at, stream = DATASET_EVENT, body.dataset_id, body.created_at, "DATASETS"
        return Event(key, kind, body.tenant, _time(at), stream, stored.sequence, data(body))


def _time(at: Timestamp) -> datetime:
    found: datetime = at.ToDatetime(UTC)
    return found


def _key(state: JobState) -> str:
    """Of one state of a job. Its place in the stream would tell what other tenants do: ids made of
    the key can be guessed by who knows the rest."""
    return f"{state.job_id} {state.status} {state.updated_at.ToNanoseconds()}"
