"""Which version a request means."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.envelope import Stored
from modelmill_inference.domain.cascade import Cascade
from modelmill_inference.follow_aliases import LOADS_AT_A_TIME, MAX_TRIES, FollowAliases
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import LoadHistory
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_inference.resolve_alias import AliasResolver, ResolvedModel
from modelmill_service_kit.errors import PreconditionError, UnavailableError
from modelmill_testkit.waiting import eventually
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .fakes import FakeLoader, FakeModels, HeardFacts, plenty_free


def moved(name: str, version_id: str, tenant: str = "acme") -> Stored[AliasState]:
    state = AliasState(tenant=tenant, name=name, version_id=version_id)
    return Stored(1, f"alias.state.{tenant}.{name}", state, {})


def names(*states: Stored[AliasState]) -> AliasResolver:
    known = AliasResolver(lambda _tenant, _version: True)
    for state in states:
        known.set(state, at_once=True)
    return known


def test_an_alias_means_the_version_it_was_last_moved_to() -> None:
    known = names(moved("kinds", "mv-1"), moved("kinds", "mv-2"))

    assert known.resolve_model("acme", "kinds").version_id == "mv-2"


def test_a_tenants_own_alias_hides_a_shared_one_until_it_is_removed() -> None:
    known = names(moved("kinds", "mv-shared", "shared"), moved("kinds", "mv-own"))
    assert known.resolve_model("acme", "kinds").version_id == "mv-own"
    assert known.resolve_model("other", "kinds").version_id == "mv-shared"

    known.set(moved("kinds", ""), at_once=False)

    assert known.resolve_model("acme", "kinds").version_id == "mv-shared"


def test_what_is_no_alias_or_a_removed_one_stays_what_it_is() -> None:
    known = names(moved("kinds", "mv-1", "other"), moved("gone", "mv-1"), moved("gone", ""))

    for name in ("kinds", "gone", "mv-7"):
        assert known.resolve_model("acme", name).version_id == name


def test_a_move_is_followed_when_its_version_is_ready_and_not_before() -> None:
    known = names(moved("kinds", "mv-1"))
    known.set(moved("kinds", "mv-2"), at_once=False)

    known.follow_ready(lambda named: False)
    assert known.resolve_model("acme", "kinds").version_id == "mv-1"
    assert known.in_use() == {"mv-1", "mv-2"}

    known.follow_ready(lambda named: named == ("acme", "mv-2"))
    assert known.resolve_model("acme", "kinds").version_id == "mv-2"
    assert known.in_use() == {"mv-2"}


def test_an_alias_that_was_removed_or_never_was_means_its_first_version_at_once() -> None:
    known = names(moved("kinds", "mv-1"), moved("kinds", ""))
    known.set(moved("kinds", "mv-2"), at_once=False)
    known.set(moved("new", "mv-3"), at_once=False)

    assert known.resolve_model("acme", "kinds").version_id == "mv-2"
    assert known.resolve_model("acme", "new").version_id == "mv-3"


def test_a_retired_version_is_left_at_once_when_its_owner_retires_it() -> None:
    known = names(moved("kinds", "mv-1"))
    known.set(moved("kinds", "mv-2"), at_once=False)

    known.leave("rival", "mv-1")
    assert known.resolve_model("acme", "kinds").version_id == "mv-1"
    known.leave("acme", "mv-1")
    assert known.resolve_model("acme", "kinds").version_id == "mv-2"


def cascade(**options: Any) -> Stored[AliasState]:
    state = moved("kinds", "mv-large")
    state.body.options.update({"kind": "cascade", "small": "mv-small", **options})
    return state


def test_a_cascade_names_both_its_versions() -> None:
    known = names(cascade(threshold=0.75))

    assert known.resolve_model("acme", "kinds") == ResolvedModel(
        "mv-large", Cascade("mv-small", 0.75)
    )
    assert known.in_use() == {"mv-large", "mv-small"}
    assert sorted(known.named()) == [("acme", "mv-large"), ("acme", "mv-small")]


def test_a_cascade_is_followed_when_both_its_versions_are_ready() -> None:
    known = names(moved("kinds", "mv-large"))
    known.set(cascade(threshold=0.5), at_once=False)

    known.follow_ready(lambda named: named[1] == "mv-large")
    assert known.resolve_model("acme", "kinds") == ResolvedModel("mv-large")

    known.follow_ready(lambda named: True)
    assert known.resolve_model("acme", "kinds").cascade is not None


def test_a_cascade_without_a_threshold_never_believes_its_small_model() -> None:
    assert names(cascade()).resolve_model("acme", "kinds").cascade == Cascade("mv-small", math.inf)


@pytest.mark.parametrize("options", [{"kind": "of tomorrow"}, {"small": ""}, {"small": 7}])
def test_an_alias_of_an_unknown_kind_is_by_its_version_alone(options: dict[str, Any]) -> None:
    assert names(cascade(**options)).resolve_model("acme", "kinds") == ResolvedModel("mv-large")


@dataclass
class Bus:
    """Tells aliases that it is given, and then is current."""

    stored: list[Stored[AliasState]]
    more: asyncio.Queue[Stored[AliasState]] = field(default_factory=asyncio.Queue)

    async def follow(
        self, subjects: Sequence[str], *, on_current: Callable[[], None] | None = None
    ) -> AsyncIterator[Stored[Any]]:
        if "alias" not in subjects[0]:
            await asyncio.Event().wait()
        for stored in self.stored:
            yield stored
        assert on_current is not None
        on_current()
        while True:
            yield await self.more.get()


class Following:
    """Names on a bus, followed by a pool with a loader that does as it is told."""

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        *stored: Stored[AliasState],
        history: LoadHistory | None = None,
        **waits: float,
    ) -> None:
        self.models, self.loader = FakeModels(), FakeLoader(tokenizer)
        room = MemoryBudget(plenty_free, MemoryLimits(2**40))
        self.pool = VersionPool(
            self.models, self.loader, HeardFacts(), room, max_in_flight=3, history=history
        )
        self.bus = Bus(list(stored))
        self.following = FollowAliases(self.bus, self.pool, **waits)

    async def __aenter__(self) -> "Following":
        self._running = asyncio.create_task(self.following.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.pool.close()

    def means(self, name: str) -> str:
        return self.following.names.resolve_model("acme", name).version_id

    def loaded(self) -> list[str]:
        return sorted(version.version_id for version in self.pool.serving())

    @property
    def settled(self) -> bool:
        return self.following.settled.is_set()


async def test_a_service_without_any_name_is_settled_at_once(tokenizer: ChatTokenizer) -> None:
    async with Following(tokenizer) as service:
        await eventually(lambda: service.settled)


async def test_it_is_settled_when_every_named_version_is_loaded(tokenizer: ChatTokenizer) -> None:
    past = [moved("a", "mv-0"), moved("a", "mv-1"), moved("b", "mv-2"), moved("c", "")]
    service = Following(tokenizer, *past)
    for number in range(3):
        service.models.add(f"mv-{number}")
    service.loader.open_gate.clear()
    async with service:
        await eventually(lambda: len(service.loader.loads) == 2)
        assert not service.settled
        service.loader.open_gate.set()
        await eventually(lambda: service.settled)
        assert service.loaded() == ["mv-1", "mv-2"]


async def test_of_many_named_versions_a_few_are_loaded_at_a_time(
    tokenizer: ChatTokenizer,
) -> None:
    service = Following(tokenizer, *(moved(f"a{number}", f"mv-{number}") for number in range(9)))
    for number in range(9):
        service.models.add(f"mv-{number}")
    service.loader.open_gate.clear()
    async with service:
        await eventually(lambda: len(service.loader.loads) == LOADS_AT_A_TIME)
        service.loader.open_gate.set()
        await eventually(lambda: service.settled)
        assert len(service.loaded()) == 9


async def test_the_version_before_answers_until_the_new_one_is_warm_here(
    tokenizer: ChatTokenizer,
) -> None:
    service = Following(tokenizer, moved("a", "mv-1"))
    for number in (1, 2):
        service.models.add(f"mv-{number}")
    async with service:
        await eventually(lambda: service.settled)
        service.loader.open_gate.clear()
        service.bus.more.put_nowait(moved("a", "mv-2"))
        await eventually(lambda: service.loader.loads == ["mv-1", "mv-2"])
        assert service.means("a") == "mv-1"
        assert service.pool.idle() == []

        service.loader.open_gate.set()
        await eventually(lambda: service.means("a") == "mv-2")
        await eventually(lambda: service.pool.idle() == ["mv-1"])

        # And back: the one before is still warm.
        service.bus.more.put_nowait(moved("a", "mv-1"))
        await eventually(lambda: service.means("a") == "mv-1")
        assert service.loader.loads == ["mv-1", "mv-2"]


async def test_an_alias_is_followed_to_a_version_that_does_not_load_here(
    tokenizer: ChatTokenizer,
) -> None:
    service = Following(tokenizer, moved("a", "mv-1"))
    for number in (1, 2):
        service.models.add(f"mv-{number}")
    async with service:
        await eventually(lambda: service.settled)
        service.loader.failure = PreconditionError("the engine refused the model")
        service.bus.more.put_nowait(moved("a", "mv-2"))
        await eventually(lambda: service.means("a") == "mv-2")


async def test_a_named_version_that_will_never_load_does_not_keep_it_unready(
    tokenizer: ChatTokenizer,
) -> None:
    aliases = moved("a", "mv-1"), moved("b", "mv-gone")
    service = Following(tokenizer, *aliases, poll_seconds=0.01)
    service.models.add("mv-1")
    service.loader.failure = PreconditionError("the engine refused the model")
    async with service:
        await eventually(lambda: service.settled)
        assert service.loaded() == []


async def test_a_version_whose_engine_does_not_answer_is_tried_again_before_it_is_given_up(
    tokenizer: ChatTokenizer,
) -> None:
    service = Following(
        tokenizer,
        moved("a", "mv-1"),
        history=LoadHistory(failure_seconds=0.0),
        poll_seconds=0.01,
        retry_seconds=0.01,
    )
    service.models.add("mv-1")
    service.loader.failure = UnavailableError("the engine did not load within 300 s")
    async with service:
        await eventually(lambda: service.settled)
        assert len(service.loader.loads) >= MAX_TRIES


async def test_a_version_that_two_aliases_name_stays_when_one_moves_on(
    tokenizer: ChatTokenizer,
) -> None:
    service = Following(tokenizer, moved("a", "mv-1"), moved("b", "mv-1"))
    for number in (1, 2):
        service.models.add(f"mv-{number}")
    async with service:
        await eventually(lambda: service.settled)
        service.bus.more.put_nowait(moved("a", "mv-2"))
        await eventually(lambda: service.loaded() == ["mv-1", "mv-2"])
        assert service.pool.idle() == []

        service.bus.more.put_nowait(moved("b", "mv-2"))
        await eventually(lambda: service.pool.idle() == ["mv-1"])


async def test_an_alias_that_names_another_tenants_version_loads_nothing(
    tokenizer: ChatTokenizer,
) -> None:
    service = Following(tokenizer, moved("a", "mv-secret"), poll_seconds=0.01)
    service.models.add("mv-secret", tenant="rival")
    async with service:
        await eventually(lambda: service.settled)
        assert service.loader.loads == []
