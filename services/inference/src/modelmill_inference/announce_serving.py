"""Use case: tell on the bus what this replica serves, without anything waiting for the bus."""

import asyncio
import logging

from modelmill.registry.v1.model_events_pb2 import ModelServing
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_SERVING
from modelmill_service_kit.errors import UnavailableError
from opentelemetry import context
from opentelemetry.context import Context

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class ServingAnnouncer:
    """Publishes `model.serving` in the background; while the bus is away it keeps what is newest.

    Args:
        replica: name of this process, unique among all.
        retry_seconds: between two tries while the bus is away.
    """

    def __init__(self, bus: Bus, replica: str, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._bus = bus
        self._replica = replica
        self._retry_seconds = retry_seconds
        # One a version: what an observer wants to know is how it stands, not how it went.
        self._pending: dict[str, tuple[ModelServing, Context]] = {}
        self._wake = asyncio.Event()
        self._said = 0

    def say(self, fact: ModelServing) -> None:
        """Publish it soon, unless a newer fact of the same version comes first."""
        self._pending.pop(fact.version_id, None)
        self._pending[fact.version_id] = (fact, context.get_current())
        self._wake.set()

    async def run(self) -> None:
        """Publish, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._publish_pending()

    async def drain(self, seconds: float) -> None:
        """Publish what is pending, for at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._publish_pending()
        except TimeoutError:
            log.warning("%d facts about serving were not published", len(self._pending))

    async def _publish_pending(self) -> None:
        while self._pending:
            version_id, pending = next(iter(self._pending.items()))
            fact, cause = pending
            fact.replica = self._replica
            # The same for each try: one that only seemed to fail is not stored twice.
            msg_id = f"{self._replica}-{self._said}"
            attached = context.attach(cause)
            try:
                await self._bus.publish(MODEL_SERVING, fact, msg_id=msg_id)
            except UnavailableError:
                await asyncio.sleep(self._retry_seconds)
                continue
            finally:
                context.detach(attached)
            self._said += 1
            if self._pending.get(version_id) is pending:
                del self._pending[version_id]
