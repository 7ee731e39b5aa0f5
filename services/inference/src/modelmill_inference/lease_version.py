"""Use case: keep a version loaded while requests use it, within memory and request limits.

All state changes on one event loop; what was read before an `await` is read again after it.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from modelmill.registry.v1.model_events_pb2 import (
    ModelReady,
    ModelServing,
    ServingAbilities,
    ServingState,
)
from modelmill_bus.read_model import FreshLook
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_service_kit.errors import (
    DomainError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
)
from opentelemetry import trace

from modelmill_inference.announce_serving import ServingAnnouncer
from modelmill_inference.load_version import (
    LoadedVersion,
    LoadHistory,
    LoadVersion,
    PreparedVersion,
)
from modelmill_inference.memory_budget import MemoryBudget
from modelmill_inference.metrics import IN_FLIGHT, MODELS_LOADED, QUEUED

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

IDLE_POLL_SECONDS = 5.0


def ready_fact(loaded: LoadedVersion) -> ModelServing:
    """Announcement of a loaded version, with the features of engine and chat template."""
    able, tokenizer = loaded.engine.abilities, loaded.tokenizer
    return ModelServing(
        version_id=loaded.version_id,
        engine=loaded.engine_name,
        state=ServingState.SERVING_STATE_READY,
        load_seconds=loaded.load_seconds,
        abilities=ServingAbilities(
            top_logprobs=able.logprobs,
            grammar=able.grammar,
            score=able.score,
            embed=able.embed,
            tools=tokenizer.knows_tools and tokenizer.tool_format is not None,
            exact=able.exact,
        ),
    )


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A loaded version in a list."""

    loaded: LoadedVersion
    in_flight: int
    max_in_flight: int

    @property
    def version_id(self) -> str:
        """Its id."""
        return self.loaded.version_id

    @property
    def engine_name(self) -> str:
        """Of the engine that runs it."""
        return self.loaded.engine_name


class VersionPool:
    """Versions that this process serves.

    Args:
        memory: shared by all; the least recently used idle version is unloaded for another.
        max_in_flight: requests per version, including those that wait for the load.
        look: finds versions that this process has not read yet; None to look once.
        history: load history; a new one by default.
    """

    def __init__(
        self,
        models: ModelCatalogue,
        loader: LoadVersion,
        announcer: ServingAnnouncer,
        memory: MemoryBudget,
        *,
        max_in_flight: int,
        look: FreshLook | None = None,
        history: LoadHistory | None = None,
    ) -> None:
        self._models = models
        self._look = look
        self._loader = loader
        self._announcer = announcer
        self._memory = memory
        self._max_in_flight = max_in_flight
        self._loads: dict[str, asyncio.Task[LoadedVersion]] = {}
        """Running loads, and loaded versions (the task is done)."""
        self._in_flight: Counter[str] = Counter()
        self._last_used: dict[str, float] = {}
        self._history = history or LoadHistory()
        self._named: frozenset[str] = frozenset()
        self._retired: set[tuple[str, str]] = set()
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        """Engines that are stopping; their memory is not free yet."""
        self._closed = False

    @asynccontextmanager
    async def lease(
        self, tenant: str, version_id: str, deadline: float | None = None
    ) -> AsyncIterator[LoadedVersion]:
        """Load the version if necessary, and keep it loaded within the block.

        Args:
            deadline: for the load, on the event loop's clock; the load continues after it.

        Raises:
            NotFoundError: the tenant has no such version, or no engine runs its form.
            OverloadedError: too many requests for it, no memory for another version, or it is not
                loaded by the deadline.
            PreconditionError: it does not verify, is too large, or the engine rejected it.
        """
        find = partial(self._models.get, tenant, version_id)
        model = find() if self._look is None else await self._look(find)
        self._loader.check(model)
        if self._in_flight[version_id] >= self._max_in_flight:
            raise OverloadedError(
                f"{self._max_in_flight} requests for {version_id} are in flight. Retry"
            )
        self._in_flight[version_id] += 1
        IN_FLIGHT.labels(version_id).inc()
        try:
            with QUEUED.labels(version_id).track_inprogress():
                loaded = await self._history.loaded(self._load_of(model), version_id, deadline)
            yield loaded
        finally:
            IN_FLIGHT.labels(version_id).dec()
            self._in_flight[version_id] -= 1
            if version_id in self._loads:
                self._last_used[version_id] = time.monotonic()
            self._drop_if_retired(version_id)

    def can_serve(self, tenant: str, version_id: str) -> bool:
        """Whether the tenant has the version and an engine here runs its form."""
        try:
            self._loader.check(self._models.get(tenant, version_id))
        except NotFoundError:
            return False
        return True

    def is_loaded(self, version_id: str) -> bool:
        """Whether it is loaded."""
        return _has_loaded(self._loads.get(version_id))

    def serving(self) -> list[ServedVersion]:
        """Loaded versions."""
        loaded = [task.result() for task in self._loads.values() if _has_loaded(task)]
        return [
            ServedVersion(it, self._in_flight[it.version_id], self._max_in_flight) for it in loaded
        ]

    def pin(self, named: frozenset[str]) -> None:
        """Pin the versions that aliases name: they are never unloaded for others."""
        self._named = named

    def retire(self, version_id: str, tenant: str) -> None:
        """Unload it once it is unused; effective only for its owner."""
        self._retired.add((version_id, tenant))
        self._drop_if_retired(version_id)

    def idle(self, *, for_seconds: float = 0.0) -> list[str]:
        """Unused versions that no alias names, least recently used first."""
        latest = time.monotonic() - for_seconds
        idle = [
            version_id
            for version_id, task in self._loads.items()
            if _has_loaded(task)
            and not self._in_flight[version_id]
            and version_id not in self._named
            and self._last_used.get(version_id, 0.0) <= latest
        ]
        return sorted(idle, key=lambda version_id: self._last_used.get(version_id, 0.0))

    async def free(self, version_id: str) -> None:
        """Unload an idle version; return once its memory is free."""
        await asyncio.shield(self._unload(version_id, ServingState.SERVING_STATE_STOPPED))

    async def free_idle(self, idle_seconds: float) -> None:
        """Unload versions that no alias names and nobody used for that long, until cancelled.

        Args:
            idle_seconds: long enough that a rollback finds the previous version still loaded.
        """
        while True:
            await asyncio.sleep(min(idle_seconds, IDLE_POLL_SECONDS))
            # Listed again after each: while one unloads, the next may be requested.
            while idle := self.idle(for_seconds=idle_seconds):
                log.info("%s was idle for %g s", idle[0], idle_seconds)
                await self.free(idle[0])

    async def close(self) -> None:
        """Stop loading, and unload everything."""
        self._closed = True
        loading = [task for task in self._loads.values() if not task.done()]
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        for version_id in [name for name, task in self._loads.items() if _has_loaded(task)]:
            self._unload(version_id, ServingState.SERVING_STATE_STOPPED)
        await asyncio.gather(*self._closing.values())

    def _load_of(self, model: ModelReady) -> asyncio.Task[LoadedVersion]:
        """The running or finished load; started now if there is none."""
        task = self._loads.get(model.version_id)
        if task is None:
            if self._closed:
                raise UnavailableError("this replica is stopping. Retry")
            self._history.refuse_failed(model.version_id)
            self._history.begin(model, self._loader.check(model))
            task = asyncio.create_task(self._load(model), name=f"load {model.version_id}")
            self._loads[model.version_id] = task
        return task

    async def _load(self, model: ModelReady) -> LoadedVersion:
        version_id, engine = model.version_id, self._loader.check(model)
        try:
            with tracer.start_as_current_span(
                "inference.load", attributes={"modelmill.model.version": version_id}
            ):
                prepared = await self._loader.prepare(model)
                # Wait for the memory of engines that are stopping.
                await asyncio.gather(*map(asyncio.shield, self._closing.values()))
                loaded = await self._open(prepared)
        except BaseException as error:
            del self._loads[version_id]
            self._history.fail(version_id, error)
            if not _is_transient(error):
                reason = "unexpected error, see the log"
                if isinstance(error, DomainError):
                    reason = error.message
                self._say(version_id, engine, ServingState.SERVING_STATE_FAILED, reason)
            raise
        log.info("%s is loaded after %.2f s", version_id, loaded.load_seconds)
        self._history.end(version_id)
        self._watchers[version_id] = asyncio.create_task(self._watch(loaded))
        self._last_used[version_id] = time.monotonic()
        MODELS_LOADED.inc()
        self._announcer.announce(ready_fact(loaded))
        return loaded

    async def _open(self, prepared: PreparedVersion) -> LoadedVersion:
        version_id = prepared.model.version_id
        await self._memory.reserve(version_id, prepared.need, self)
        self._announcer.announce(self._history.loading_fact(version_id))
        loaded = None
        try:
            loaded = await self._loader.open(prepared)
            await self._memory.confirm(version_id, loaded.engine.resident_bytes, self)
        except BaseException as error:
            if loaded is not None:
                await loaded.engine.close()
            self._memory.release(version_id)
            if _is_transient(error):
                engine = prepared.runs.kind.name
                self._say(version_id, engine, ServingState.SERVING_STATE_STOPPED)
            raise
        return loaded

    async def _watch(self, loaded: LoadedVersion) -> None:
        """Unload a version whose engine failed permanently; the next request loads it again."""
        reason = await loaded.engine.until_broken()
        log.error("%s is unloaded: %s", loaded.version_id, reason)
        self._unload(loaded.version_id, ServingState.SERVING_STATE_FAILED, reason)

    def _drop_if_retired(self, version_id: str) -> None:
        if not self.is_loaded(version_id) or self._in_flight[version_id]:
            return
        if (version_id, self._loads[version_id].result().owner) in self._retired:
            self._unload(version_id, ServingState.SERVING_STATE_STOPPED)

    def _unload(
        self, version_id: str, state: "ServingState.ValueType", reason: str = ""
    ) -> asyncio.Task[None]:
        """Unload at once; the task ends when the engine has stopped."""
        loaded = self._loads.pop(version_id).result()
        self._watchers.pop(version_id).cancel()
        self._last_used.pop(version_id, None)
        MODELS_LOADED.dec()
        self._say(version_id, loaded.engine_name, state, reason)
        closing = asyncio.create_task(self._close_engine(loaded))
        self._closing[version_id] = closing
        return closing

    async def _close_engine(self, loaded: LoadedVersion) -> None:
        try:
            await loaded.engine.close()
        finally:
            self._memory.release(loaded.version_id)
            del self._closing[loaded.version_id]

    def _say(
        self,
        version_id: str,
        engine: str,
        state: "ServingState.ValueType",
        reason: str = "",
    ) -> None:
        fact = ModelServing(version_id=version_id, engine=engine, state=state, reason=reason)
        self._announcer.announce(fact)


def _has_loaded(task: asyncio.Task[LoadedVersion] | None) -> bool:
    return task is not None and task.done() and not task.cancelled() and not task.exception()


def _is_transient(error: BaseException) -> bool:
    """Whether the version itself is fine: memory is short, or this replica is stopping."""
    return isinstance(error, OverloadedError) or not isinstance(error, Exception)
