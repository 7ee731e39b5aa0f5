"""Which versions fit: estimates, what is really held, and who leaves for whom."""

import asyncio
import time

import pytest
from modelmill_inference.domain.memory import (
    MIB,
    MemoryNeed,
)
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import LoadHistory
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_service_kit.errors import OverloadedError, PreconditionError
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from prometheus_client import REGISTRY

from .fakes import FakeEngine, FakeLoader, FakeMachine, FakeModels, HeardFacts

LIMIT = 1000 * MIB


class House:
    """A pool with room for so much, and what each version says that it needs."""

    def __init__(
        self, tokenizer: ChatTokenizer, *, history: LoadHistory | None = None, **needs: int
    ) -> None:
        self.models, self.loader, self.heard = FakeModels(), FakeLoader(tokenizer), HeardFacts()
        self.machine = FakeMachine()
        self.room = MemoryBudget(self.machine.free_bytes, MemoryLimits(LIMIT))
        self.pool = VersionPool(
            self.models, self.loader, self.heard, self.room, max_in_flight=3, history=history
        )
        for version_id, mib in needs.items():
            self.models.add(version_id)
            need = MemoryNeed(version_id, resident_bytes=mib * MIB, later_bytes=0)
            self.loader.needs[version_id] = need
            self.loader.resident[version_id] = mib * MIB

    async def use(self, version_id: str, until: asyncio.Event | None = None) -> None:
        async with self.pool.lease("acme", version_id):
            if until is not None:
                await until.wait()

    def loaded(self) -> list[str]:
        return sorted(version.version_id for version in self.pool.serving())


async def test_as_many_versions_are_loaded_as_memory_allows(tokenizer: ChatTokenizer) -> None:
    house = House(tokenizer, **{f"v{number}": 100 for number in range(10)})

    for number in range(10):
        await house.use(f"v{number}")

    assert len(house.loaded()) == 10


class FakeSpare:
    """A spare process that needs 300 MiB."""

    need_bytes = 300 * MIB

    def __init__(self) -> None:
        self.discarded = False

    def resident_bytes(self) -> int:
        return 0 if self.discarded else self.need_bytes

    async def discard(self) -> None:
        self.discarded = True


async def test_the_spare_process_is_counted_and_leaves_before_any_version(
    tokenizer: ChatTokenizer,
) -> None:
    house, spare = House(tokenizer, a=400, b=300, c=300, d=100), FakeSpare()
    assert await house.room.reserve_spare(spare)

    await house.use("a")
    await house.use("b")
    assert not spare.discarded
    await house.use("c")

    assert spare.discarded
    assert house.loaded() == ["a", "b", "c"]
    assert not await house.room.reserve_spare(FakeSpare())


async def test_for_one_that_does_not_fit_the_least_recently_used_leave_and_no_more(
    tokenizer: ChatTokenizer,
) -> None:
    house = House(tokenizer, a=400, b=200, c=300, d=500)
    for version_id in ("a", "b", "c", "a", "d"):
        await house.use(version_id)

    assert house.loaded() == ["a", "d"]
    assert [house.heard.of(name) for name in "bc"] == [["READY", "STOPPED"]] * 2


async def test_what_is_told_of_a_version_says_what_can_be_asked_of_it(
    tokenizer: ChatTokenizer,
) -> None:
    house = House(tokenizer, a=500)

    await house.use("a")

    _, fact = house.heard.facts
    assert fact.load_seconds == 0.5
    told = fact.abilities
    assert (told.top_logprobs, told.score, told.embed, told.exact) == (2, True, True, True)
    assert (told.grammar, told.tools) == (False, False)


async def test_nobody_leaves_for_one_that_would_not_fit_all_the_same(
    tokenizer: ChatTokenizer,
) -> None:
    house = House(tokenizer, used=600, idle=300, big=500)
    done = asyncio.Event()
    using = asyncio.create_task(house.use("used", done))
    await house.use("idle")

    with pytest.raises(OverloadedError, match="needs 500 MiB of memory and 100 MiB are free"):
        await house.use("big")

    assert house.loaded() == ["idle", "used"]
    assert house.heard.of("big") == []
    done.set()
    await using
    await house.use("big")
    assert house.loaded() == ["big"]


async def test_what_an_alias_names_never_leaves(tokenizer: ChatTokenizer) -> None:
    house = House(tokenizer, named=600, big=500)
    house.pool.pin(frozenset({"named"}))
    await house.use("named")

    with pytest.raises(OverloadedError):
        await house.use("big")

    assert house.loaded() == ["named"]


async def test_a_model_too_large_is_refused_with_need_and_limit_before_anything_is_loaded(
    tokenizer: ChatTokenizer,
) -> None:
    house = House(tokenizer, other=900, huge=1500)
    await house.use("other")

    with pytest.raises(PreconditionError, match=r"1,500 MiB.*limit here is 1,000 MiB") as refused:
        await house.use("huge")

    assert refused.value.reason == "MODEL_TOO_LARGE"
    assert house.loader.loads == ["other"]
    assert house.loaded() == ["other"]
    assert house.heard.of("huge") == ["FAILED"]


async def test_memory_that_other_processes_took_is_not_given_away(
    tokenizer: ChatTokenizer,
) -> None:
    house = House(tokenizer, a=300)
    house.machine.free = 200 * MIB

    with pytest.raises(OverloadedError, match="200 MiB are free"):
        await house.use("a")


async def test_what_was_promised_counts_before_it_is_taken(tokenizer: ChatTokenizer) -> None:
    house = House(tokenizer, a=100, b=200)
    house.loader.needs["a"] = MemoryNeed("a", 100 * MIB, later_bytes=750 * MIB)

    await house.use("a")
    await house.use("b")

    assert house.loaded() == ["b"]


async def test_what_a_version_really_held_is_what_its_next_load_is_planned_with(
    tokenizer: ChatTokenizer,
) -> None:
    house = House(tokenizer, a=900, b=300)
    house.loader.resident["a"] = 500 * MIB
    await house.use("a")
    await house.use("b")
    assert house.loaded() == ["a", "b"]
    labels = {"version": "a"}
    held = REGISTRY.get_sample_value("modelmill_version_memory_bytes", labels)
    assert held == 500 * MIB
    await house.pool.free("a")
    assert REGISTRY.get_sample_value("modelmill_version_memory_bytes", labels) is None

    await house.use("a")

    assert house.loaded() == ["a", "b"]


async def test_one_that_turns_out_larger_makes_others_leave_or_leaves_itself(
    tokenizer: ChatTokenizer,
) -> None:
    house = House(tokenizer, idle=400, a=300, b=100)
    house.loader.resident |= {"a": 800 * MIB, "b": 900 * MIB}
    await house.use("idle")
    done = asyncio.Event()
    using = asyncio.create_task(house.use("a", done))
    await eventually(lambda: house.loaded() == ["a"])

    with pytest.raises(OverloadedError):
        await house.use("b")

    assert house.loaded() == ["a"]
    assert house.loader.engines["b"].closed
    done.set()
    await using


async def test_one_that_is_really_too_large_is_closed_and_not_loaded_again(
    tokenizer: ChatTokenizer,
) -> None:
    house = House(tokenizer, history=LoadHistory(failure_seconds=0.0), a=100)
    house.loader.resident["a"] = 2000 * MIB

    for _ in range(2):
        with pytest.raises(PreconditionError, match="2,000 MiB"):
            await house.use("a")

    assert house.loader.loads == ["a"]
    assert house.loader.engines["a"].closed
    assert house.loaded() == []


async def test_two_loads_at_once_do_not_both_take_the_last_room(tokenizer: ChatTokenizer) -> None:
    house = House(tokenizer, a=600, b=600)
    done = asyncio.Event()

    async def constrain(version_id: str) -> str:
        try:
            await house.use(version_id, done)
        except OverloadedError:
            return "refused"
        return "served"

    uses = [asyncio.create_task(constrain(name)) for name in "ab"]
    await eventually(lambda: any(use.done() for use in uses))
    done.set()

    assert sorted(await asyncio.gather(*uses)) == ["refused", "served"]


async def test_two_for_whom_a_third_has_to_leave_share_its_room(
    tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tokenizer, whole=1000, a=400, b=400)
    await house.use("whole")

    async def close_slowly(self: FakeEngine) -> None:
        await asyncio.to_thread(time.sleep, 0.05)
        self.closed = True

    monkeypatch.setattr(FakeEngine, "close", close_slowly)

    await asyncio.gather(house.use("a"), house.use("b"))

    assert house.loaded() == ["a", "b"]


async def test_a_failed_load_gives_its_room_back(tokenizer: ChatTokenizer) -> None:
    house = House(tokenizer, a=900, b=900)
    house.loader.failure = PreconditionError("the engine refused the model")
    with pytest.raises(PreconditionError):
        await house.use("a")
    house.loader.failure = None

    await house.use("b")

    assert house.loaded() == ["b"]


async def test_what_nobody_uses_or_names_is_freed_after_a_while(tokenizer: ChatTokenizer) -> None:
    house = House(tokenizer, named=100, unnamed=100)
    house.pool.pin(frozenset({"named"}))
    sweeping = asyncio.create_task(house.pool.free_idle(0.05))
    done = asyncio.Event()
    using = asyncio.create_task(house.use("unnamed", done))
    await house.use("named")

    await asyncio.wait({sweeping}, timeout=0.2)
    assert house.loaded() == ["named", "unnamed"]
    done.set()
    await using
    await eventually(lambda: house.loaded() == ["named"])
    sweeping.cancel()
