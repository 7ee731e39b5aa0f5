"""Use case: announce on the bus what this replica serves, without waiting for the bus."""

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
    """Publishes `model.serving` in the background; while the bus is down it keeps the newest state.

    Args:
        replica: unique name of this process.
        retry_seconds: retry interval while the bus is down.
    """

    def __init__(self, bus: Bus, replica: str, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._bus = bus
        self._replica = replica
        self._retry_seconds = retry_seconds
        # One message per version: observers need the current state, not the history.
        self._pending: dict[str, tuple[ModelServing, Context]] = {}
        self._wake = asyncio.Event()
        self._published = 0

    def announce(self, fact: ModelServing) -> None:
        """Publish soon, unless a newer state of the same version replaces it."""
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
        """Publish pending states, for at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._publish_pending()
        except TimeoutError:
            log.warning("%d serving states were not published", len(self._pending))

    async def _publish_pending(self) -> None:
        while self._pending:
            version_id, pending = next(iter(self._pending.items()))
            fact, cause = pending
            fact.replica = self._replica
            # The same id for each retry, so that JetStream drops duplicates.
            msg_id = f"{self._replica}-{self._published}"
            attached = context.attach(cause)
            try:
                await self._bus.publish(MODEL_SERVING, fact, msg_id=msg_id)
            except UnavailableError:
                await asyncio.sleep(self._retry_seconds)
                continue
            finally:
                context.detach(attached)
            self._published += 1
            if self._pending.get(version_id) is pending:
                del self._pending[version_id]
