"""Use case: load the versions that aliases name, and unload retired ones."""

import asyncio
import logging
import time

from modelmill.registry.v1.model_events_pb2 import ModelRetired
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_RETIRED
from modelmill_service_kit.errors import DomainError, NotFoundError, UnavailableError
from opentelemetry import context
from opentelemetry.context import Context

from modelmill_inference.lease_version import VersionPool
from modelmill_inference.resolve_alias import AliasResolver, TenantVersion

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Retry interval for a version that is not announced yet."""
RETRY_SECONDS = 30.0
"""Retry interval for a version that failed to load."""
LOADS_AT_A_TIME = 4
"""Concurrent loads: all at once would delay each, and one slow load must not block the rest."""
MAX_TRIES = 3
"""Attempts for a version that is unknown or does not answer, before it counts as failed."""


class FollowAliases:
    """Loads and warms up each version that an alias of any tenant names, before the first request.

    Args:
        poll_seconds: retry interval for unknown versions.
        retry_seconds: retry interval after a failed load.
    """

    def __init__(
        self,
        bus: Bus,
        pool: VersionPool,
        *,
        poll_seconds: float = POLL_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._poll_seconds = poll_seconds
        self._retry_seconds = retry_seconds
        self._bus = bus
        self._pool = pool
        self.names = AliasResolver(pool.can_serve)
        """Resolves requests; kept up to date here."""
        self._changed = asyncio.Event()
        self._not_before: dict[TenantVersion, float] = {}
        self._slots = asyncio.Semaphore(LOADS_AT_A_TIME)
        self._loading: dict[TenantVersion, asyncio.Task[None]] = {}
        self._tries: dict[TenantVersion, int] = {}
        """Failed attempts; `MAX_TRIES` at once if a retry cannot help."""
        self.current = asyncio.Event()
        """Set once all aliases stored at the start are known."""
        self.settled = asyncio.Event()
        """Set once all versions that aliases name are loaded or have failed."""

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_aliases())
            tasks.create_task(self._follow_retired())
            tasks.create_task(self._load_aliased(tasks))

    async def _follow_aliases(self) -> None:
        # Nothing is loaded during the replay: most of it is history of the aliases.
        def caught_up() -> None:
            self.current.set()
            self._aliases_changed()

        async for stored in self._bus.follow(["alias.state.*.*"], on_current=caught_up):
            self.names.set(stored, at_once=not self.current.is_set())
            if self.current.is_set():
                self._aliases_changed()

    def _aliases_changed(self) -> None:
        self.names.follow_ready(self._is_settled)
        self._pool.pin(self.names.in_use())
        self._changed.set()

    async def _follow_retired(self) -> None:
        async for stored in self._bus.follow([MODEL_RETIRED]):
            retired: ModelRetired = stored.body
            self._pool.retire(retired.version_id, retired.tenant)
            self.names.leave(retired.tenant, retired.version_id)

    async def _load_aliased(self, tasks: asyncio.TaskGroup) -> None:
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
                async with asyncio.timeout(self._poll_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _is_due(self, named: TenantVersion) -> bool:
        _, version_id = named
        if named in self._loading or self._pool.is_loaded(version_id):
            return False
        return time.monotonic() >= self._not_before.get(named, 0.0)

    def _is_settled(self, named: TenantVersion) -> bool:
        return self._pool.is_loaded(named[1]) or self._tries.get(named, 0) >= MAX_TRIES

    async def _load(self, named: TenantVersion, cause: Context) -> None:
        tenant, version_id = named
        # Continue the trace in which the alias was moved.
        attached = context.attach(cause)
        try:
            async with self._slots, self._pool.lease(tenant, version_id):
                self._tries.pop(named, None)
        except DomainError as error:
            self._failed(named, error)
        finally:
            context.detach(attached)
            del self._loading[named]
            self._aliases_changed()

    def _failed(self, named: TenantVersion, error: DomainError) -> None:
        again = self._retry_seconds
        if isinstance(error, NotFoundError):
            # Its model.ready may be delayed, or another service handles its form.
            log.debug("not loaded for an alias: %s", error)
            again = self._poll_seconds
        else:
            log.warning("%s is named by an alias but does not load: %s", named[1], error)
        may_come = isinstance(error, NotFoundError | UnavailableError)
        self._tries[named] = self._tries.get(named, 0) + 1 if may_come else MAX_TRIES
        self._not_before[named] = time.monotonic() + again
