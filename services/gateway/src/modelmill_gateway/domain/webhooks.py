"""Webhooks as pure rules: what is told, how it is signed, and when it is tried again."""

import base64
import hashlib
import hmac
import json
import math
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

EventType = Literal[
    "job.running",
    "job.paused",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "model.ready",
    "dataset.ready",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
MODEL_EVENT, DATASET_EVENT = "model.ready", "dataset.ready"
TEST_EVENT = "webhook.test"
"""Sent when its owner asks for it, once, to any endpoint."""

TOLD_WITHIN = timedelta(days=3)
"""Older events are not news: a broker that was filled from a file replays months."""
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"
OVERLAP = timedelta(hours=24)
"""How long a secret that was replaced signs beside the new one."""
LONGEST_WAIT = timedelta(hours=24)
JITTER = 0.1
"""Waits are up to this share longer, so that what failed together does not come back together."""
USER_AGENT = "Modelmill-Webhooks/1"
DELIVERED, GONE = "delivered", "gone"
_IDS = uuid.UUID("1f0a3c52-6d1e-4c55-9a6b-0a4b7f2f6d10")


@dataclass(frozen=True)
class Event:
    """Something that happened to a tenant's job, model or dataset."""

    key: str
    """The same each time the event is read."""
    type: str
    tenant: str
    at: datetime
    stream: str
    sequence: int
    """Its place in the stream."""
    data: Mapping[str, Any]

    def is_news(self, now: datetime) -> bool:
        """Whether anybody still wants to hear of it."""
        return now - self.at < TOLD_WITHIN

    def payload(self) -> str:
        """The body of the request."""
        at = self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {"type": self.type, "timestamp": at, "data": _finite(self.data)}
        return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    """The value with null for numbers that JSON does not know: a loss may be one."""
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def delivery_id(webhook_id: str, event_key: str) -> str:
    """The webhook-id header: one for each endpoint and event."""
    return f"msg_{uuid.uuid5(_IDS, f'{webhook_id} {event_key}').hex}"


def written_secret(secret: bytes) -> str:
    """A signing secret as people copy it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signed_headers(
    delivery: str, at: datetime, body: bytes, secrets: Sequence[bytes]
) -> dict[str, str]:
    """Headers of Standard Webhooks: a signature by each secret that is in force."""
    timestamp = str(int(at.timestamp()))
    signed = f"{delivery}.{timestamp}.".encode() + body
    signatures = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": delivery,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }


@dataclass(frozen=True)
class Reply:
    """Result of a delivery attempt."""

    outcome: str
    """`delivered`, `gone` (410), `refused` (any other status), `unreachable`, `timeout`,
    `forbidden` (the address may not be called) or `unsealable` (the secret was sealed otherwise).
    """
    status: int = 0
    """0 when there was no answer."""
    retry_after: float | None = None
    """Seconds that the receiver asked for."""


@dataclass(frozen=True)
class Schedule:
    """Retry schedule of deliveries, and when an endpoint is disabled.

    Args:
        waits: seconds before each further attempt; after the last one the event is dropped.
        disable_after: an endpoint of which all attempts failed for so long is disabled.
    """

    waits: tuple[float, ...]
    disable_after: timedelta

    def wait_after(
        self, attempts: int, *, retry_after: float | None, chance: float
    ) -> timedelta | None:
        """How long to wait after so many attempts; None when there is no other.

        Args:
            retry_after: seconds that the receiver asked for; waits become longer by it, never
                shorter, and never longer than a day.
            chance: from 0 to 1, which the jitter is made of.
        """
        if attempts > len(self.waits):
            return None
        seconds = self.waits[attempts - 1] * (1 + JITTER * chance)
        asked = min(retry_after or 0.0, LONGEST_WAIT.total_seconds())
        return timedelta(seconds=max(seconds, asked))

    def gives_up(self, failing_since: datetime, now: datetime) -> bool:
        """Whether an endpoint that has failed since then is to be disabled."""
        return now - failing_since >= self.disable_after


LONGEST_PUT_OFF_SECONDS = 120.0
PUT_OFF_SECONDS = {True: 0.1, False: 0.5}
"""Between two looks of one endpoint, by whether it works."""


class DeliverySlots:
    """Concurrency limiter of webhook deliveries.

    An endpoint works while its last delivery succeeded. Others, new ones among them, are called one
    at a time each, and share half of all: whatever hangs, what works is called at once.

    Args:
        overall: deliveries at a time.
        each_tenant: deliveries at a time to all endpoints of one tenant.
        each: deliveries at a time to one endpoint that works.
    """

    def __init__(self, *, overall: int, each_tenant: int, each: int) -> None:
        self._overall = overall
        self._each_tenant = each_tenant
        self._each = each
        self._endpoints: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        self._unproven: set[str] = set()
        """Endpoints in hand that did not work when they were taken."""
        self._next_look: dict[str, float] = {}

    def acquire(self, webhook_id: str, tenant: str, *, works: bool) -> bool:
        """Whether a delivery may begin; it is counted until `free`."""
        if not works and len(self._unproven) >= self._overall // 2:
            return False
        if self._endpoints[webhook_id] >= (self._each if works else 1):
            return False
        if self._tenants[tenant] >= self._each_tenant or self._tenants.total() >= self._overall:
            return False
        self._endpoints[webhook_id] += 1
        self._tenants[tenant] += 1
        if not works:
            self._unproven.add(webhook_id)
        return True

    def release(self, webhook_id: str, tenant: str) -> None:
        """A delivery that was taken is over."""
        self._endpoints -= Counter([webhook_id])
        self._tenants -= Counter([tenant])
        if webhook_id not in self._endpoints:
            self._unproven.discard(webhook_id)

    def put_off(self, webhook_id: str, now: float, *, works: bool) -> float:
        """Seconds after which a delivery that found no room looks again.

        Those of one endpoint come back one after the other, not all at once.
        """
        self._next_look = {each: at for each, at in self._next_look.items() if at > now}
        at = max(self._next_look.get(webhook_id, 0.0), now) + PUT_OFF_SECONDS[works]
        at = min(at, now + LONGEST_PUT_OFF_SECONDS)
        self._next_look[webhook_id] = at
        return at - now
