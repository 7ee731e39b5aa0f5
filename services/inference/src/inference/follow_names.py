"""Use case: keep loaded what aliases name, and let go of what is retired."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

from jobs.envelope import Stored
from jobs.subjects import MODEL_RETIRED
from modelmill.registry.v1.model_events_pb2 import AliasState, ModelRetired
from opentelemetry import context
from opentelemetry.context import Context
from service_kit.errors import DomainError, NotFoundError

from inference.lease_version import VersionPool

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How soon a named version is looked for again that is not known yet."""
RETRY_SECONDS = 30.0
"""How soon a named version is tried again that did not load."""


class Follows(Protocol):
    """The part of the bus that this needs."""

    def follow(
        self, subjects: Sequence[str], *, on_current: Callable[[], None] | None = None
    ) -> AsyncIterator[Stored[Any]]:
        """Every message of the subjects, from the first one on."""


class FollowNames:
    """Loads each version that an alias of any tenant names, and warms it, before anybody asks."""

    def __init__(self, bus: Follows, pool: VersionPool) -> None:
        self._bus = bus
        self._pool = pool
        self._aliases: dict[tuple[str, str], Stored[AliasState]] = {}
        self._changed = asyncio.Event()
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_aliases())
            tasks.create_task(self._follow_retired())
            tasks.create_task(self._load_named())

    async def _follow_aliases(self) -> None:
        # Nothing is loaded before the replay is over: most of it is where aliases once pointed.
        current = asyncio.Event()

        def caught_up() -> None:
            current.set()
            self._changed.set()

        async for stored in self._bus.follow(["alias.state.*.*"], on_current=caught_up):
            # The subject says whose alias it is: that is what the broker's permissions guard.
            _, _, tenant, name = stored.subject.split(".")
            self._aliases[tenant, name] = stored
            if current.is_set():
                self._changed.set()

    async def _follow_retired(self) -> None:
        async for stored in self._bus.follow([MODEL_RETIRED]):
            retired: ModelRetired = stored.body
            self._pool.retire(retired.version_id, retired.tenant)

    async def _load_named(self) -> None:
        await self._changed.wait()
        while True:
            self._changed.clear()
            wanted = {
                (tenant, stored.body.version_id): stored.trace
                for (tenant, _), stored in self._aliases.items()
                if stored.body.version_id
            }
            self._pool.keep(frozenset(version_id for _, version_id in wanted))
            for (tenant, version_id), cause in wanted.items():
                await self._load(tenant, version_id, cause)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _load(self, tenant: str, version_id: str, cause: Context) -> None:
        if self._pool.is_loaded(version_id):
            return
        if time.monotonic() < self._not_before.get(version_id, 0.0):
            return
        # The trace in which the alias was moved goes on here.
        attached = context.attach(cause)
        try:
            async with self._pool.lease(tenant, version_id):
                self._not_before.pop(version_id, None)
        except NotFoundError as error:
            # Its model.ready may still be on the way, or its form is for another service.
            log.debug("not loaded for an alias: %s", error)
        except DomainError as error:
            log.warning("%s is named by an alias but does not load: %s", version_id, error)
            self._not_before[version_id] = time.monotonic() + RETRY_SECONDS
        finally:
            context.detach(attached)
