"""Aliases, retirement and the bus: what is loaded without being asked for, and who is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from modelmill.registry.v1.model_events_pb2 import ServingState
from modelmill_registry.aliases import AliasBook
from modelmill_service_kit.errors import NotFoundError
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.processes import children_that_run
from modelmill_testkit.waiting import eventually
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from prometheus_client import REGISTRY

from .support import Service, nats_and_inference, run_inference

pytestmark = pytest.mark.heavy

READY = ServingState.SERVING_STATE_READY
STOPPED = ServingState.SERVING_STATE_STOPPED


async def is_serving(service: Service, version_id: str) -> bool:
    return version_id in await service.serving()


async def states(service: Service, version_id: str) -> list[int]:
    return [fact.state for fact in await service.said(version_id)]


async def test_what_an_alias_names_is_loaded_kept_and_freed_when_retired(
    tmp_path: Path, artifact_root: Path, digest: str
) -> None:
    async with nats_and_inference(tmp_path, artifact_root, max_loaded=2) as service:
        names = AliasBook(service.bus)
        # The alias comes first: the version that it names is not known yet.
        first = "mv-0123456789abcdef0123456789abcdef"
        await names.move("acme", "kinds", first, moved_by="test")
        await service.announce(digest, version_id=first)
        await eventually(lambda: is_serving(service, first))

        second = await service.announce(digest)
        await names.move("acme", "kinds", second, moved_by="test")
        await eventually(lambda: is_serving(service, second))
        await service.answer(
            first, text="now the other is the least recently used", max_new_tokens=1
        )
        await service.served(digest)

        assert await is_serving(service, second)
        assert not await is_serving(service, first)
        assert await states(service, first) == [READY, STOPPED]
        await service.retire(second)

        async def freed() -> bool:
            return await states(service, second) == [READY, STOPPED]

        await eventually(freed)
        with pytest.raises(NotFoundError):
            await service.answer(second, text="x")
        replica = service.running.replica
        engines = children_that_run("modelmill_inference.children")

    assert not [one for one in engines if one.is_running()]
    assert replica.startswith("inference-")


async def test_generation_goes_on_while_the_bus_is_away_and_the_news_is_told_later(
    tmp_path: Path, artifact_root: Path, digest: str
) -> None:
    async with (
        run_nats(tmp_path) as nats,
        run_inference(nats, artifact_root, max_loaded=1) as service,
    ):
        unloaded, loaded = [await service.served(digest) for _ in range(2)]
        running = service.stream(loaded, text="a", max_new_tokens=300)
        await anext(aiter(running))

        nats.kill()

        answers = await asyncio.gather(
            *(service.answer(loaded, text=f"b {n}", max_new_tokens=8) for n in range(4))
        )
        assert all(answer.end.finish_reason for answer in answers)
        assert [piece async for piece in running][-1].end.finish_reason
        assert (
            await service.answer(unloaded, text="c", max_new_tokens=2)
        ).end.version_id == unloaded

        def failed() -> float | None:
            labels = {"subject": "model.serving", "reason": "unavailable"}
            return REGISTRY.get_sample_value("modelmill_messages_failed_total", labels)

        await eventually(failed)
        await nats.start()

        async def told() -> bool:
            return await states(service, unloaded) == [READY, STOPPED, READY]

        await eventually(told)


async def test_the_trace_that_made_a_build_or_moved_an_alias_goes_on_here(
    tmp_path: Path,
    artifact_root: Path,
    digest: str,
    spans_of: Callable[[int], dict[str, ReadableSpan]],
) -> None:
    tracer = trace.get_tracer("test")
    async with nats_and_inference(tmp_path, artifact_root) as service:
        with tracer.start_as_current_span("builder") as builder:
            version_id = await service.announce(digest)
        with tracer.start_as_current_span("mover") as mover:
            await AliasBook(service.bus).move("acme", "kinds", version_id, moved_by="test")
        built, moved = (span.get_span_context().trace_id for span in (builder, mover))

        await eventually(lambda: "inference.prepare" in spans_of(built))
        await eventually(lambda: {"inference.load", "publish model.serving"} <= {*spans_of(moved)})
    prepared = spans_of(built)
    parent = prepared["inference.prepare"].parent
    assert parent is not None
    assert parent.span_id == prepared["publish model.ready"].context.span_id
