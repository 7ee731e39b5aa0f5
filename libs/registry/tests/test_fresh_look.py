"""A miss is an answer only once everything that was stored has been read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import FreshLook, ReadModel
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_service_kit.errors import NotFoundError


class Late:
    """A bus whose messages come once somebody asks for the newest, and that counts who asks."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._gate = asyncio.Event()
        self.connected = True
        self.asked = 0

    async def follow(
        self,
        subjects: Sequence[str],
        kinds: Mapping[str, type[Message]] | None = None,
        *,
        after: int = 0,
        on_current: Callable[[], None] | None = None,
    ) -> AsyncIterator[Stored[Any]]:
        async for stored in self._bus.follow(subjects, kinds, after=after, on_current=on_current):
            await self._gate.wait()
            yield stored

    async def newest_sequence(self, subjects: str) -> int:
        self.asked += 1
        newest = await self._bus.newest_sequence(subjects)
        self._gate.set()
        return newest


async def announce(bus: Bus, version_id: str) -> None:
    model = ModelReady(version_id=version_id, tenant="acme", name="m", form="safetensors")
    await bus.publish(MODEL_READY, model)


def finds(models: ModelCatalogue, version_id: str) -> Callable[[], ModelReady]:
    return lambda: models.get("acme", version_id)


async def running(*models: ReadModel) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(model.run()) for model in models]


async def test_what_is_stored_is_found_by_who_is_behind(bus: Bus) -> None:
    late = Late(bus)
    models = ModelCatalogue(late)
    (task,) = await running(models)
    await announce(bus, "mv-1")
    look = FreshLook(late, (models, MODEL_READY))

    assert (await look(finds(models, "mv-1"))).version_id == "mv-1"
    await look(finds(models, "mv-1"))
    assert late.asked == 1
    with pytest.raises(NotFoundError):
        await look(finds(models, "mv-none"))
    task.cancel()


async def test_misses_at_one_time_share_their_questions(bus: Bus) -> None:
    late = Late(bus)
    models = ModelCatalogue(late)
    (task,) = await running(models)
    await announce(bus, "mv-1")
    look = FreshLook(late, (models, MODEL_READY))
    looks = (look(finds(models, f"mv-{number}")) for number in range(50))
    answers = await asyncio.gather(*looks, return_exceptions=True)

    # One that was asked before the others missed would not do for them.
    assert late.asked <= 2
    assert [isinstance(answer, NotFoundError) for answer in answers].count(False) == 1
    task.cancel()


async def test_a_broker_that_is_away_is_not_asked(bus: Bus) -> None:
    late = Late(bus)
    late.connected = False
    models = ModelCatalogue(late)
    with pytest.raises(NotFoundError):
        await FreshLook(late, (models, MODEL_READY))(finds(models, "mv-1"))
    assert late.asked == 0
