"""Use case: keep loaded what aliases name, and let go of what is retired."""

import asyncio
import logging
import time

from modelmill.registry.v1.model_events_pb2 import ModelRetired
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_RETIRED
from modelmill_service_kit.errors import DomainError, NotFoundError, UnavailableError
from opentelemetry import context
from opentelemetry.context import Context

from modelmill_inference.alias_names import AliasNames, Named
from modelmill_inference.lease_version import VersionPool

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How soon a named version is looked for again that is not known yet."""
RETRY_SECONDS = 30.0
"""How soon a named version is tried again that did not load."""
LOADS_AT_A_TIME = 4
"""All at once would keep each from being ready soon; one after the other, a slow one the rest."""
MAX_TRIES = 3
"""Of a version that is not known or does not answer, until it counts as failed for good."""


class FollowNames:
    """Loads each version that an alias of any tenant names, and warms it, before anybody asks.

    Args:
        look_seconds: between two looks whether a version has come that was not known.
        retry_seconds: until one is tried again that did not load.
    """

    def __init__(
        self,
        bus: Bus,
        pool: VersionPool,
        *,
        look_seconds: float = LOOK_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._look_seconds = look_seconds
        self._retry_seconds = retry_seconds
        self._bus = bus
        self._pool = pool
        self.names = AliasNames(pool.can_serve)
        """Kept up to date for those who resolve requests."""
        self._changed = asyncio.Event()
        self._not_before: dict[Named, float] = {}
        self._slots = asyncio.Semaphore(LOADS_AT_A_TIME)
        self._loading: dict[Named, asyncio.Task[None]] = {}
        self._tries: dict[Named, int] = {}
        """Of those that failed; `MAX_TRIES` at once when trying again will not help."""
        self.current = asyncio.Event()
        """Set once every alias that was stored at the start is known."""
        self.settled = asyncio.Event()
        """Set once all that aliases name has been loaded, or has failed for good."""

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_aliases())
            tasks.create_task(self._follow_retired())
            tasks.create_task(self._load_named(tasks))

    async def _follow_aliases(self) -> None:
        # Nothing is loaded before the replay is over: most of it is where aliases once pointed.
        def caught_up() -> None:
            self.current.set()
            self._names_changed()

        async for stored in self._bus.follow(["alias.state.*.*"], on_current=caught_up):
            self.names.set(stored, at_once=not self.current.is_set())
            if self.current.is_set():
                self._names_changed()

    def _names_changed(self) -> None:
        self.names.follow_ready(self._is_settled)
        self._pool.keep(self.names.in_use())
        self._changed.set()

    async def _follow_retired(self) -> None:
        async for stored in self._bus.follow([MODEL_RETIRED]):
            retired: ModelRetired = stored.body
            self._pool.retire(retired.version_id, retired.tenant)
            self.names.leave(retired.tenant, retired.version_id)

    async def _load_named(self, tasks: asyncio.TaskGroup) -> None:
        await self._changed.wait()
        while True:
            self._changed.clear()
            wanted = self.names.named()
            for named, stored in wanted.items():
                if self._is_due(named):
                    self._loading[named] = tasks.create_task(self._load(named, stored.trace))
            if all(map(self._is_settled, wanted)):
                self.settled.set()
            try:
                async with asyncio.timeout(self._look_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _is_due(self, named: Named) -> bool:
        _, version_id = named
        if named in self._loading or self._pool.is_loaded(version_id):
            return False
        return time.monotonic() >= self._not_before.get(named, 0.0)

    def _is_settled(self, named: Named) -> bool:
        return self._pool.is_loaded(named[1]) or self._tries.get(named, 0) >= MAX_TRIES

    async def _load(self, named: Named, cause: Context) -> None:
        tenant, version_id = named
        # The trace in which the alias was moved goes on here.
        attached = context.attach(cause)
        try:
            async with self._slots, self._pool.lease(tenant, version_id):
                self._tries.pop(named, None)
        except DomainError as error:
            self._failed(named, error)
        finally:
            context.detach(attached)
            del self._loading[named]
            self._names_changed()

    def _failed(self, named: Named, error: DomainError) -> None:
        again = self._retry_seconds
        if isinstance(error, NotFoundError):
            # Its model.ready may still be on the way, or its form is for another service.
            log.debug("not loaded for an alias: %s", error)
            again = self._look_seconds
        else:
            log.warning("%s is named by an alias but does not load: %s", named[1], error)
        may_come = isinstance(error, NotFoundError | UnavailableError)
        self._tries[named] = self._tries.get(named, 0) + 1 if may_come else MAX_TRIES
        self._not_before[named] = time.monotonic() + again
