import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_service_kit.errors import (
    NotFoundError,
    OverloadedError,
    PreconditionError,
    UnavailableError,
)
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .fakes import FakeLoader, FakeModels, HeardFacts, plenty_free


class Room:
    """A pool of two versions and three requests each, with all that is around it."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self.models, self.loader, self.heard = FakeModels(), FakeLoader(tokenizer), HeardFacts()
        room = MemoryBudget(plenty_free, MemoryLimits(2**40, versions=2))
        self.pool = VersionPool(self.models, self.loader, self.heard, room, max_in_flight=3)
        for version_id in ("mv-1", "mv-2", "mv-3"):
            self.models.add(version_id)

    async def use(self, version_id: str, until: asyncio.Event | None = None) -> str:
        async with self.pool.lease("acme", version_id) as loaded:
            if until is not None:
                await until.wait()
            return loaded.version_id

    def loaded(self) -> list[str]:
        return sorted(version.version_id for version in self.pool.serving())


@pytest_asyncio.fixture
async def room(tokenizer: ChatTokenizer) -> AsyncIterator[Room]:
    room = Room(tokenizer)
    yield room
    await room.pool.close()
    assert all(engine.closed for engine in room.loader.engines.values())


async def test_requests_for_an_unloaded_version_share_one_load(room: Room) -> None:
    room.loader.open_gate.clear()
    uses = [asyncio.create_task(room.use("mv-1")) for _ in range(3)]
    await eventually(lambda: room.loader.loads)
    room.loader.open_gate.set()

    assert await asyncio.gather(*uses) == ["mv-1"] * 3
    assert room.loader.loads == ["mv-1"]
    assert room.heard.of("mv-1") == ["READY"]


async def test_a_load_goes_on_when_the_one_who_began_it_leaves(room: Room) -> None:
    room.loader.open_gate.clear()
    first = asyncio.create_task(room.use("mv-1"))
    await eventually(lambda: room.loader.loads)
    second = asyncio.create_task(room.use("mv-1"))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    room.loader.open_gate.set()

    assert await second == "mv-1"
    assert room.loader.loads == ["mv-1"]


async def test_one_request_too_many_is_refused_at_once(room: Room) -> None:
    done = asyncio.Event()
    uses = [asyncio.create_task(room.use("mv-1", done)) for _ in range(3)]
    await eventually(lambda: room.pool.serving() and room.pool.serving()[0].in_flight == 3)

    with pytest.raises(OverloadedError, match="3 requests for mv-1"):
        await room.use("mv-1")

    assert await room.use("mv-2") == "mv-2"
    done.set()
    await asyncio.gather(*uses)
    assert await room.use("mv-1") == "mv-1"


async def test_the_least_recently_used_version_makes_room(room: Room) -> None:
    for version_id in ("mv-1", "mv-2", "mv-1", "mv-3"):
        await room.use(version_id)

    assert room.loaded() == ["mv-1", "mv-3"]
    assert room.heard.of("mv-2") == ["READY", "STOPPED"]
    assert room.loader.engines["mv-2"].closed


async def test_a_version_in_use_or_named_by_an_alias_never_makes_room(room: Room) -> None:
    done = asyncio.Event()
    room.pool.pin(frozenset({"mv-1"}))
    await room.use("mv-1")
    using = asyncio.create_task(room.use("mv-2", done))
    await eventually(lambda: room.loaded() == ["mv-1", "mv-2"])

    with pytest.raises(OverloadedError, match="all 2 versions that may be"):
        await room.use("mv-3")

    done.set()
    await using
    await room.use("mv-3")
    assert room.loaded() == ["mv-1", "mv-3"]


async def test_unknown_foreign_and_unservable_versions_are_not_found(room: Room) -> None:
    room.models.add("mv-other", tenant="other")
    room.models.add("mv-adapter", form="adapter")

    for version_id in ("mv-none", "mv-other", "mv-adapter"):
        with pytest.raises(NotFoundError):
            await room.use(version_id)
    assert room.loader.loads == []


async def test_a_version_that_does_not_load_says_so_and_is_left_alone_for_a_while(
    room: Room,
) -> None:
    room.loader.failure = PreconditionError("the engine refused the model")

    for _ in range(3):
        with pytest.raises(PreconditionError, match="refused"):
            await room.use("mv-1")

    assert room.loader.loads == ["mv-1"]
    assert room.heard.of("mv-1") == ["FAILED"]
    assert room.loaded() == []


async def test_a_version_whose_engine_gave_up_is_loaded_afresh(room: Room) -> None:
    await room.use("mv-1")
    room.loader.engines["mv-1"].broken.put_nowait("it died five times")
    await eventually(lambda: not room.loaded())

    await room.use("mv-1")

    assert room.loader.loads == ["mv-1", "mv-1"]
    assert room.heard.of("mv-1") == ["READY", "FAILED", "READY"]


async def test_a_retired_version_is_freed_when_its_last_request_ends(room: Room) -> None:
    done = asyncio.Event()
    using = asyncio.create_task(room.use("mv-1", done))
    await eventually(lambda: room.loaded() == ["mv-1"])

    room.pool.retire("mv-1", "other")
    room.pool.retire("mv-1", "acme")
    assert room.loaded() == ["mv-1"]
    done.set()
    await using

    assert room.loaded() == []
    assert room.heard.of("mv-1") == ["READY", "STOPPED"]


async def test_only_its_owner_retires_a_version(room: Room) -> None:
    await room.use("mv-1")

    room.pool.retire("mv-1", "other")

    assert room.loaded() == ["mv-1"]


async def test_a_closed_pool_loads_nothing_any_more(room: Room) -> None:
    room.loader.open_gate.clear()
    using = asyncio.create_task(room.use("mv-1"))
    await eventually(lambda: room.loader.loads)

    await room.pool.close()

    with pytest.raises(asyncio.CancelledError):
        await using
    with pytest.raises(UnavailableError):
        await room.use("mv-1")
