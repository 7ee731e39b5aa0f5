"""Inference: loads model versions and generates text from them over gRPC.

Once it is up nothing on the way of a request waits for the bus: what exists is kept in memory, and
what is served is announced in the background.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvloop
from jobs.bus import Bus
from jobs.filters import stream_of
from jobs.subjects import MODEL_READY
from modelmill.inference.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server
from registry.catalogue import ModelCatalogue
from registry.stores import store_of
from service_kit.errors import UnavailableError
from service_kit.grpc_server import RpcServer
from service_kit.metrics import MetricsPage
from service_kit.process import announce_ready, run_service

from inference.adapters.openvino import OpenVinoKind, PipelineOptions
from inference.announce_serving import ServingAnnouncer
from inference.engine import EngineKind
from inference.entrypoints.grpc import InferenceServicer
from inference.follow_names import FollowNames
from inference.lease_version import VersionPool
from inference.load_version import LoadVersion
from inference.prepare_version import PrepareVersions
from inference.settings import Settings

SERVICE = "inference"
CALLERS = ("gateway",)
"""Names in the certificates of those who may call, where certificates are used."""
START_SECONDS = 30.0
FAREWELL_SECONDS = 2.0
"""How long the last announcements may take; the bus may be away."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers."""

    grpc_port: int
    metrics_port: int
    replica: str


def pipeline_options(settings: Settings) -> PipelineOptions:
    """The engine's part of the settings."""
    return PipelineOptions(
        device=settings.engine_device,
        cache_gigabytes=settings.engine_cache_gigabytes,
        max_sequences=settings.engine_max_sequences,
        prefix_cache=settings.engine_prefix_cache,
        threads=settings.engine_threads,
        properties=settings.engine_properties,
        load_seconds=settings.engine_load_seconds,
        hang_seconds=settings.engine_hang_seconds,
        piece_seconds=settings.engine_piece_seconds,
    )


def engine_kinds(settings: Settings) -> list[EngineKind]:
    """Kinds of engines; for a form the first that can run it is taken."""
    options = pipeline_options(settings)
    kinds: list[EngineKind] = [OpenVinoKind(options)]
    if settings.triton_url:
        # Only where it is wanted: the client brings numpy, which nothing else here needs.
        from inference.adapters.triton import TritonAddress, TritonKind

        token = settings.triton_token.get_secret_value()
        address = TritonAddress(settings.triton_url, token, settings.triton_roots)
        kinds.insert(0, TritonKind(address, options, settings.triton_forms))
    return kinds


@asynccontextmanager
async def inference_service(settings: Settings) -> AsyncIterator[Running]:
    """The whole service, until the block ends: calls in hand are finished, then engines freed."""
    secret = settings.service_secret.get_secret_value()
    identity = settings.mutual_tls()
    replica = f"{SERVICE}-{uuid.uuid4().hex[:12]}"
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name=SERVICE))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())

        def start(work: Coroutine[Any, Any, None]) -> None:
            stack.callback(tasks.create_task(work).cancel)

        store = await asyncio.to_thread(store_of, settings)
        kinds = engine_kinds(settings)
        models, announcer = ModelCatalogue(bus), ServingAnnouncer(bus, replica)
        pool = VersionPool(
            models,
            LoadVersion(store, kinds),
            announcer,
            max_loaded=settings.max_loaded,
            max_in_flight=settings.max_in_flight,
        )
        start(models.run())
        await _caught_up(models)
        # In reverse: the pool says that it stops, and what it said is still published.
        stack.push_async_callback(announcer.drain, FAREWELL_SECONDS)
        start(announcer.run())
        stack.push_async_callback(pool.close)
        start(FollowNames(bus, pool).run())
        newest = await bus.last_sequence(stream_of((MODEL_READY,)))
        start(PrepareVersions(bus, store, kinds, after=newest).run())

        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        server = RpcServer.for_services(settings, identity, callers=CALLERS)
        add_InferenceServiceServicer_to_server(InferenceServicer(pool), server.grpc)
        await stack.enter_async_context(server)
        yield Running(server.port, page.port, replica)


async def _caught_up(models: ModelCatalogue) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            await models.ready.wait()
    except TimeoutError:
        raise UnavailableError("the bus did not tell which models there are") from None


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`."""
    async with inference_service(settings) as running:
        announce_ready(grpc=running.grpc_port, metrics=running.metrics_port)
        await stopping.wait()


def main() -> None:
    """Run as a process."""
    run_service(SERVICE, Settings, serve, loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    main()
