"""What a request's model means where the alias, or an engine for the version, is missing."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.envelope import Stored
from modelmill_inference.domain.cascade import Cascade
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_inference.resolve_alias import AliasResolver, ResolvedModel
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .fakes import FakeLoader, FakeModels, HeardFacts, plenty_free

BUILD, ADAPTER = "mv-build", "mv-adapter"


class House:
    """A pool whose engine runs builds and nothing else, and the aliases that it has heard of."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self.models = FakeModels()
        room = MemoryBudget(plenty_free, MemoryLimits(2**40))
        loader = FakeLoader(tokenizer)
        self.pool = VersionPool(self.models, loader, HeardFacts(), room, max_in_flight=8)
        self.names = AliasResolver(self.pool.can_serve)
        self.find = self.names.resolve_model
        self.models.add(BUILD)
        self.models.add(ADAPTER, form="adapter")

    def move(self, name: str, version_id: str, **options: object) -> None:
        state = AliasState(tenant="acme", name=name, version_id=version_id)
        state.options.update(options)
        self.names.set(Stored(1, f"alias.state.acme.{name}", state, {}), at_once=True)


@pytest_asyncio.fixture
async def house(tokenizer: ChatTokenizer) -> AsyncIterator[House]:
    house = House(tokenizer)
    yield house
    await house.pool.close()


async def test_a_version_is_itself_where_an_engine_runs_it(house: House) -> None:
    assert house.find("acme", BUILD, "mv-other") == ResolvedModel(BUILD)


@pytest.mark.parametrize("model", ["kinds", ADAPTER, "mv-unknown"])
async def test_the_fallback_is_for_an_alias_not_heard_of_and_a_version_that_cannot_be_run(
    house: House, model: str
) -> None:
    assert house.find("acme", model, BUILD) == ResolvedModel(BUILD)
    assert house.find("acme", model) == ResolvedModel(model)


async def test_an_alias_is_what_this_replica_follows_whatever_the_caller_knows(
    house: House,
) -> None:
    house.move("kinds", ADAPTER)
    house.move("pair", BUILD, kind="cascade", small="mv-small", threshold=0.5)

    assert house.find("acme", "kinds", BUILD) == ResolvedModel(ADAPTER)
    assert house.find("acme", "pair", BUILD) == ResolvedModel(BUILD, Cascade("mv-small", 0.5))


async def test_what_another_tenant_has_is_as_if_it_were_not(house: House) -> None:
    assert house.find("rival", BUILD, "mv-other") == ResolvedModel("mv-other")
