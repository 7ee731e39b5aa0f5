"""Use case: fetch and verify the files of a new build before its first request."""

import asyncio
import logging

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import DomainError, NotFoundError
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from modelmill_inference.find_engine import FindEngine

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)


class PrepareVersions:
    """Follows `model.ready`.

    Args:
        after: stream sequence at the start; earlier builds are fetched on demand.
    """

    def __init__(
        self, bus: Bus, store: ArtifactStore, find_engine: FindEngine, *, after: int
    ) -> None:
        self._bus = bus
        self._store = store
        self._find_engine = find_engine
        self._after = after

    async def run(self) -> None:
        """Follow until cancelled."""
        async for stored in self._bus.follow([MODEL_READY], after=self._after):
            await self._prepare(stored)

    async def _prepare(self, stored: Stored[ModelReady]) -> None:
        model = stored.body
        try:
            self._find_engine(model)
        except NotFoundError:
            return  # for another service
        with tracer.start_as_current_span(
            "inference.prepare",
            context=stored.trace,
            kind=SpanKind.CONSUMER,
            attributes={"modelmill.model.version": model.version_id},
        ) as span:
            try:
                await asyncio.to_thread(self._store.materialise, model.digest)
            except (DomainError, OSError) as error:
                # Loading reports the error to the caller; here it is only logged.
                log.warning("%s cannot be prepared: %s", model.version_id, error)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
