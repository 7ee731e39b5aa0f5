"""Use case: have a version loaded while it is used, with bounded memory and requests.

Everything here runs on one event loop and between two awaits nothing else does; what is counted or
looked up before an await is looked up again after it.
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
    LoadRecords,
    LoadVersion,
    PreparedVersion,
)
from modelmill_inference.memory_room import MemoryRoom
from modelmill_inference.metrics import IN_FLIGHT, MODELS_LOADED, QUEUED

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

IDLE_POLL_SECONDS = 5.0


def ready_fact(loaded: LoadedVersion) -> ModelServing:
    """That it is loaded, and what its engine and its chat template can do."""
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
    """One loaded version, for a listing."""

    version_id: str
    engine_name: str
    in_flight: int


class VersionPool:
    """The versions that this process serves.

    Args:
        room: memory for them; the least recently used idle one makes room for another.
        max_in_flight: requests per version, those that wait for it to load included.
        look: finds versions that this process has not read yet; None to look once.
        records: of its loads; a fresh one without any.
    """

    def __init__(
        self,
        models: ModelCatalogue,
        loader: LoadVersion,
        announcer: ServingAnnouncer,
        room: MemoryRoom,
        *,
        max_in_flight: int,
        look: FreshLook | None = None,
        records: LoadRecords | None = None,
    ) -> None:
        self._models = models
        self._look = look
        self._loader = loader
        self._announcer = announcer
        self._room = room
        self._max_in_flight = max_in_flight
        self._loads: dict[str, asyncio.Task[LoadedVersion]] = {}
        """Versions being loaded, and loaded ones (the task is done)."""
        self._in_flight: Counter[str] = Counter()
        self._last_used: dict[str, float] = {}
        self._records = records or LoadRecords()
        self._named: frozenset[str] = frozenset()
        self._retired: set[tuple[str, str]] = set()
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        """Engines that end; their memory is not free yet."""
        self._closed = False

    @asynccontextmanager
    async def lease(
        self, tenant: str, version_id: str, deadline: float | None = None
    ) -> AsyncIterator[LoadedVersion]:
        """The version, loaded and kept so until the block ends.

        Args:
            deadline: for the load, by the event loop's clock; it goes on without who cannot wait.

        Raises:
            NotFoundError: the tenant has no such version, or no engine runs its form.
            OverloadedError: too many requests for it, no room for another version, or it is not
                loaded by the deadline.
            PreconditionError: it does not verify, is too large, or the engine refused it.
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
                loaded = await self._records.loaded(self._load_of(model), version_id, deadline)
            yield loaded
        finally:
            IN_FLIGHT.labels(version_id).dec()
            self._in_flight[version_id] -= 1
            if version_id in self._loads:
                self._last_used[version_id] = time.monotonic()
            self._drop_if_retired(version_id)

    def can_serve(self, tenant: str, version_id: str) -> bool:
        """Whether the tenant has such a version and an engine here runs its form."""
        try:
            self._loader.check(self._models.get(tenant, version_id))
        except NotFoundError:
            return False
        return True

    def is_loaded(self, version_id: str) -> bool:
        """Whether it answers without loading first."""
        return _done_well(self._loads.get(version_id))

    def serving(self) -> list[ServedVersion]:
        """What is loaded now."""
        loaded = [task.result() for task in self._loads.values() if _done_well(task)]
        return [
            ServedVersion(it.version_id, it.engine_name, self._in_flight[it.version_id])
            for it in loaded
        ]

    def keep(self, named: frozenset[str]) -> None:
        """Versions that an alias names; they are never made to leave for another."""
        self._named = named

    def retire(self, version_id: str, tenant: str) -> None:
        """Free it as soon as nobody uses it; only its owner's word counts."""
        self._retired.add((version_id, tenant))
        self._drop_if_retired(version_id)

    def idle(self, *, for_seconds: float = 0.0) -> list[str]:
        """Versions that nobody uses and no alias names, least recently used first."""
        latest = time.monotonic() - for_seconds
        idle = [
            version_id
            for version_id, task in self._loads.items()
            if _done_well(task)
            and not self._in_flight[version_id]
            and version_id not in self._named
            and self._last_used.get(version_id, 0.0) <= latest
        ]
        return sorted(idle, key=lambda version_id: self._last_used.get(version_id, 0.0))

    async def free(self, version_id: str) -> None:
        """Unload an idle version; return when its memory is back."""
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
        for version_id in [name for name, task in self._loads.items() if _done_well(task)]:
            self._unload(version_id, ServingState.SERVING_STATE_STOPPED)
        await asyncio.gather(*self._closing.values())

    def _load_of(self, model: ModelReady) -> asyncio.Task[LoadedVersion]:
        """The running or finished load, begun now if there is none."""
        task = self._loads.get(model.version_id)
        if task is None:
            if self._closed:
                raise UnavailableError("this replica is stopping. Retry")
            self._records.refuse_failed(model.version_id)
            self._records.begin(model, self._loader.check(model))
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
                # The memory of those that end comes back first.
                await asyncio.gather(*map(asyncio.shield, self._closing.values()))
                loaded = await self._open(prepared)
        except BaseException as error:
            del self._loads[version_id]
            self._records.fail(version_id, error)
            if not _may_pass(error):
                reason = "unexpected error, see the log"
                if isinstance(error, DomainError):
                    reason = error.message
                self._say(version_id, engine, ServingState.SERVING_STATE_FAILED, reason)
            raise
        log.info("%s is loaded after %.2f s", version_id, loaded.load_seconds)
        self._records.end(version_id)
        self._watchers[version_id] = asyncio.create_task(self._watch(loaded))
        self._last_used[version_id] = time.monotonic()
        MODELS_LOADED.inc()
        self._announcer.say(ready_fact(loaded))
        return loaded

    async def _open(self, prepared: PreparedVersion) -> LoadedVersion:
        version_id = prepared.model.version_id
        await self._room.take(version_id, prepared.need, self)
        self._announcer.say(self._records.loading_fact(version_id))
        loaded = None
        try:
            loaded = await self._loader.open(prepared)
            await self._room.settle(version_id, loaded.engine.resident_bytes, self)
        except BaseException as error:
            if loaded is not None:
                await loaded.engine.close()
            self._room.give_back(version_id)
            if _may_pass(error):
                engine = prepared.runs.kind.name
                self._say(version_id, engine, ServingState.SERVING_STATE_STOPPED)
            raise
        return loaded

    async def _watch(self, loaded: LoadedVersion) -> None:
        """Take a version down whose engine gave up; the next request loads it afresh."""
        reason = await loaded.engine.until_broken()
        log.error("%s is taken down: %s", loaded.version_id, reason)
        self._unload(loaded.version_id, ServingState.SERVING_STATE_FAILED, reason)

    def _drop_if_retired(self, version_id: str) -> None:
        if not self.is_loaded(version_id) or self._in_flight[version_id]:
            return
        if (version_id, self._loads[version_id].result().owner) in self._retired:
            self._unload(version_id, ServingState.SERVING_STATE_STOPPED)

    def _unload(
        self, version_id: str, state: "ServingState.ValueType", reason: str = ""
    ) -> asyncio.Task[None]:
        """Take it down at once; the task is its engine's end."""
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
            self._room.give_back(loaded.version_id)
            del self._closing[loaded.version_id]

    def _say(
        self,
        version_id: str,
        engine: str,
        state: "ServingState.ValueType",
        reason: str = "",
    ) -> None:
        fact = ModelServing(version_id=version_id, engine=engine, state=state, reason=reason)
        self._announcer.say(fact)


def _done_well(task: asyncio.Task[LoadedVersion] | None) -> bool:
    return task is not None and task.done() and not task.cancelled() and not task.exception()


def _may_pass(error: BaseException) -> bool:
    """Nothing is wrong with the version: there may be room in a moment, or this replica stops."""
    return isinstance(error, OverloadedError) or not isinstance(error, Exception)
