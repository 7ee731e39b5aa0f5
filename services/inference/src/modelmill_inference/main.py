"""Inference: loads model versions and generates text from them over gRPC.

No request waits for the bus: read models are in memory, and announcements are published in the
background.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvloop
from modelmill.inference.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server
from modelmill_bus.bus import Bus
from modelmill_bus.filters import stream_of
from modelmill_bus.read_model import FreshLook
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.store import store_of
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.machine_size import free_memory, this_machine
from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.process import Ending, announce_ready, run_service
from modelmill_tokenization.bounded import Limits
from modelmill_tokenization.bounded.pool import TokenizerPool

from modelmill_inference.adapters.spare_child import SpareChild
from modelmill_inference.admit_requests import AdmissionPlan, EngineQueues
from modelmill_inference.announce_serving import ServingAnnouncer
from modelmill_inference.domain.memory import GIB
from modelmill_inference.engine_kinds import engine_kinds, missing_kinds, spare_child
from modelmill_inference.entrypoints.grpc import InferenceServicer
from modelmill_inference.find_engine import FindEngine
from modelmill_inference.follow_aliases import FollowAliases
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import CacheSettings, LoadVersion
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_inference.metrics import TokenizerFigures
from modelmill_inference.prepare_version import PrepareVersions
from modelmill_inference.settings import Settings

SERVICE = "inference"
CALLERS = ("gateway", "moderation", "data-prep", "trainer")
"""Client certificate names that may call, if mTLS is configured."""
START_SECONDS = 30.0
DRAIN_SECONDS = 2.0
"""Time limit for the last announcements at shutdown; the bus may be down."""


@dataclass(frozen=True, slots=True)
class Running:
    """The running service and its addresses."""

    grpc_port: int
    metrics_port: int
    replica: str
    server: RpcServer


def memory_limits(settings: Settings) -> MemoryLimits:
    """Limits for all versions; by default 5 % of the memory is left for other processes."""
    memory = settings.memory_bytes or this_machine().memory_bytes * 19 // 20
    return MemoryLimits(memory, settings.max_loaded)


def rpc_server(
    settings: Settings, servicer: InferenceServicer, follow_aliases: FollowAliases
) -> RpcServer:
    """The gRPC server; ready at once if no alias names a version that must be loaded first."""
    ready = follow_aliases.settled.is_set()
    server = RpcServer.for_services(
        settings, settings.mutual_tls(), callers=CALLERS, ready=ready, takes_calls_unready=True
    )
    add_InferenceServiceServicer_to_server(servicer, server.grpc)
    return server


def tokenizer_pool(settings: Settings) -> TokenizerPool:
    """Processes for untrusted templates and tokenizers; the time limit is twice the CPU limit."""
    seconds = settings.tokenizer_cpu_seconds
    limits = Limits(cpu_seconds=seconds, seconds=2 * seconds)
    return TokenizerPool(limits, TokenizerFigures(), settings.tokenizer_processes)


def admission_plan(settings: Settings) -> AdmissionPlan:
    """Settings of the admission queues."""
    return AdmissionPlan(
        sequences=settings.engine_max_sequences,
        waiting=settings.max_waiting,
        tokens=settings.admitted_tokens,
        cache_bytes=settings.engine_cache_gigabytes << 30,
        seconds=settings.deadline_seconds,
    )


def _cache_settings(settings: Settings) -> CacheSettings:
    return CacheSettings(
        settings.engine_cache_gigabytes * GIB,
        settings.engine_max_sequences,
        prompt_lookup=settings.engine_prompt_lookup,
    )


@asynccontextmanager
async def inference_service(settings: Settings) -> AsyncIterator[Running]:
    """Run the service within the block; at its end running calls finish, then engines stop."""
    secret = settings.service_secret.get_secret_value()
    replica = f"{SERVICE}-{uuid.uuid4().hex[:12]}"
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name=SERVICE))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        start = partial(_start, stack, tasks)
        store = await asyncio.to_thread(store_of, settings)
        models, announcer = ModelCatalogue(bus), ServingAnnouncer(bus, replica)
        spare, memory = spare_child(settings), MemoryBudget(free_memory, memory_limits(settings))
        find_engine = FindEngine(models, engine_kinds(settings, spare), missing_kinds(settings))
        tokenizers = await stack.enter_async_context(tokenizer_pool(settings))
        cache = _cache_settings(settings)
        loader = LoadVersion(store, find_engine, cache, tokenizers)
        look, limit = FreshLook(bus, (models, MODEL_READY)), settings.max_in_flight
        pool = VersionPool(models, loader, announcer, memory, max_in_flight=limit, look=look)
        follow_aliases = FollowAliases(bus, pool)
        start(models.run())
        await _caught_up(models.ready, "the model catalogue")
        # Exit order is reversed: the pool announces that it stops, and that is still published.
        stack.push_async_callback(announcer.drain, DRAIN_SECONDS)
        start(announcer.run())
        stack.push_async_callback(pool.close)
        start(follow_aliases.run())
        start(pool.free_idle(settings.idle_seconds))
        await _caught_up(follow_aliases.current, "the aliases")
        newest = await bus.last_sequence(stream_of((MODEL_READY,)))
        start(PrepareVersions(bus, store, find_engine, after=newest).run())

        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        admissions = EngineQueues(admission_plan(settings))
        servicer = InferenceServicer(pool, admissions, follow_aliases.names, memory)
        server = await stack.enter_async_context(rpc_server(settings, servicer, follow_aliases))
        stack.callback(admissions.close)
        start(_once_settled(follow_aliases.settled, server, memory, spare))
        yield Running(server.port, page.port, replica, server)


def _start(
    stack: AsyncExitStack, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]
) -> None:
    stack.callback(tasks.create_task(work).cancel)


async def _caught_up(ready: asyncio.Event, what: str) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            await ready.wait()
    except TimeoutError:
        raise UnavailableError(f"the bus did not deliver {what} in time") from None


async def _once_settled(
    settled: asyncio.Event, server: RpcServer, memory: MemoryBudget, spare: SpareChild | None
) -> None:
    """Report ready, then keep a spare process: versions that aliases name load first."""
    await settled.wait()
    await server.set_ready(True)
    if spare is not None and await memory.reserve_spare(spare):
        await spare.run()


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`."""
    async with inference_service(settings) as running:
        announce_ready(grpc=running.grpc_port, metrics=running.metrics_port)
        await stopping.wait()
        await running.server.give_notice(Ending.of(stopping, settings))


def main() -> None:
    """Run as a process."""
    run_service(SERVICE, Settings, serve, loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    main()
