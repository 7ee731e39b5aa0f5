"""Adapters on a build of their base: found, checked, loaded and dropped while the base serves."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_inference.domain.adapter_fit import adapter_problems
from modelmill_inference.domain.memory import GIB
from modelmill_inference.find_engine import FindEngine
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import CacheSettings, LoadedVersion, LoadVersion
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import NotFoundError, PreconditionError
from modelmill_testkit.in_process_tokenizers import InProcessTokenizers
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .adapter_folders import write_adapter
from .engine_bench import PROMPTS, Bench
from .fakes import FakeEngine, FakeKind, FakeModels, HeardFacts, plenty_free

BASE, BUILD = "mv-base", "mv-build"


class World:
    """A base with a build, in a real store; an engine without a model that adapts builds."""

    def __init__(self, folder: Path, llama: Path) -> None:
        self.folder, self.llama = folder, llama
        self.store = FolderStore(folder / "store")
        self.models, self.heard, self.kind = FakeModels(), HeardFacts(), FakeKind()
        find_engine = FindEngine(self.models, [self.kind])
        loader = LoadVersion(
            self.store, find_engine, CacheSettings(GIB, sequences=4), InProcessTokenizers()
        )
        room = MemoryBudget(plenty_free, MemoryLimits(2**40))
        self.pool = VersionPool(self.models, loader, self.heard, room, max_in_flight=8)
        self.base_digest = self.store.commit(llama, kind="model", form="safetensors").digest
        self.announce(BASE, self.base_digest, form="safetensors", base_version_id=BASE)
        # The fake engine does not read the build; its files only have to be those of the base.
        build = self.store.commit(
            llama, kind="model", form="openvino-int8", made_from={"source": self.base_digest}
        )
        self.announce(BUILD, build.digest, form="openvino-int8", parent_version_id=BASE)

    def announce(self, version_id: str, digest: str, tenant: str = "acme", **fields: Any) -> str:
        model = ModelReady(version_id=version_id, tenant=tenant, digest=digest, **fields)
        self.models.versions[tenant, version_id] = model
        return version_id

    def adapter(
        self, name: str, *, base: str | None = None, tenant: str = "acme", **shape: int
    ) -> str:
        folder = write_adapter(self.folder / name, self.llama, **shape)
        return self.file(name, folder, base=base, tenant=tenant)

    def file(
        self, name: str, folder: Path, *, base: str | None = None, tenant: str = "acme"
    ) -> str:
        digest = self.store.commit(
            folder, kind="model", form="adapter", made_from={"base": base or self.base_digest}
        ).digest
        return self.announce(f"mv-{name}", digest, tenant, form="adapter", parent_version_id=BASE)

    async def tokens(self, version: LoadedVersion) -> list[int]:
        return await Bench(version.engine, version.tokenizer).tokens(PROMPTS[0])

    def loaded(self) -> list[str]:
        return sorted(version.version_id for version in self.pool.serving())


@pytest_asyncio.fixture
async def world(tmp_path: Path, llama_folder: Path) -> AsyncIterator[World]:
    world = World(tmp_path, llama_folder)
    yield world
    await world.pool.close()


async def test_an_adapter_runs_on_the_newest_build_of_its_base(world: World) -> None:
    adapter = world.adapter("kinds")

    async with world.pool.lease("acme", adapter) as loaded:
        assert isinstance(loaded.engine, FakeEngine)
        assert loaded.engine.adapter is not None
        assert (loaded.engine.adapter / "adapter_config.json").is_file()
        assert loaded.version_id == adapter


async def test_adapters_come_and_go_while_their_base_answers(world: World) -> None:
    first, second = world.adapter("first"), world.adapter("second", seed=2)
    async with world.pool.lease("acme", BUILD) as base:
        before = await world.tokens(base)
        request = Bench(base.engine, base.tokenizer).plan(PROMPTS[0])
        async with aclosing(base.engine.generate(request)) as running:
            told = [token for token in (await anext(running)).tokens]
            answers = [before]
            for adapter in (first, second):
                async with world.pool.lease("acme", adapter) as adapted:
                    answers.append(await world.tokens(adapted))
            for adapter in (first, second):
                await world.pool.free(adapter)
            told += [token for piece in [p async for p in running] for token in piece.tokens]

        assert told == before
        assert await world.tokens(base) == before
        assert len({tuple(answer) for answer in answers}) == 3
    assert world.loaded() == [BUILD]


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ({"hidden": 48}, "is 48 to 64, the base has 64 to 64"),
        ({"layers": 3}, "is of layer 2, the base has 2"),
    ],
)
async def test_an_adapter_that_does_not_fit_is_refused_and_its_base_goes_on(
    world: World, shape: dict[str, int], problem: str
) -> None:
    adapter = world.adapter("wrong", **shape)
    async with world.pool.lease("acme", BUILD) as base:
        before = await world.tokens(base)

        with pytest.raises(PreconditionError, match=problem):
            async with world.pool.lease("acme", adapter):
                pass

        assert await world.tokens(base) == before
    assert world.heard.of(adapter) == ["FAILED"]
    assert world.heard.of(BUILD) == ["READY"]


async def test_an_adapter_of_another_base_is_refused_whatever_its_announcement_says(
    world: World,
) -> None:
    other = write_adapter(world.folder / "other-base", world.llama)
    elsewhere = world.store.commit(other, kind="model", form="safetensors").digest
    adapter = world.adapter("foreign", base=elsewhere, seed=3)

    with pytest.raises(PreconditionError, match="was not trained on mv-base") as refused:
        async with world.pool.lease("acme", adapter):
            pass

    assert refused.value.reason == "FOREIGN_ADAPTER"


async def test_a_corrupt_adapter_is_refused(world: World) -> None:
    folder = write_adapter(world.folder / "cut", world.llama)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])

    with pytest.raises(PreconditionError, match="weights"):
        async with world.pool.lease("acme", world.file("cut", folder)):
            pass


async def test_an_adapter_without_a_base_that_an_engine_can_adapt_is_not_found(
    world: World,
) -> None:
    adapter = world.adapter("kinds")
    del world.models.versions["acme", BUILD]

    with pytest.raises(NotFoundError, match="Build the base, or the adapter itself"):
        async with world.pool.lease("acme", adapter):
            pass

    del world.models.versions["acme", BASE]
    with pytest.raises(NotFoundError, match="its base is gone"):
        async with world.pool.lease("acme", adapter):
            pass


async def test_an_adapter_of_another_tenant_is_not_found(world: World) -> None:
    adapter = world.adapter("secret", tenant="rival")

    with pytest.raises(NotFoundError):
        async with world.pool.lease("acme", adapter):
            pass


@pytest.mark.parametrize(
    ("shapes", "problem"),
    [
        ({}, "no tensors"),
        ({"model.layers.0.self_attn.q_proj.weight": [64, 64]}, "no matrix of a low-rank"),
        ({"a.layers.0.q_proj.lora_A.weight": [4]}, "no matrix of a low-rank"),
        ({"a.layers.0.q_proj.lora_A.weight": [4, 64]}, "one half"),
        (
            {"a.q_proj.lora_A.weight": [4, 64], "a.q_proj.lora_B.weight": [64, 8]},
            "ranks 4 and 8",
        ),
    ],
)
def test_tensors_that_are_no_adapter_are_found_without_an_engine(
    shapes: dict[str, list[int]], problem: str
) -> None:
    (found,) = adapter_problems(shapes, {})

    assert problem in found


def test_a_base_of_unknown_shape_is_left_to_its_engine() -> None:
    shapes = {"a.q_proj.lora_A.weight": [4, 64], "a.q_proj.lora_B.weight": [99, 4]}

    assert adapter_problems(shapes, {}) == []
    latent = {
        "kv_lora_rank": 8,
        "hidden_size": 64,
        "intermediate_size": 1,
        "num_attention_heads": 2,
    }
    assert adapter_problems(shapes, latent) == []


def test_of_many_problems_the_first_are_told(tokenizer: ChatTokenizer) -> None:
    problems = adapter_problems({f"t{number}": [1] for number in range(100)}, {})

    assert len(problems) == 6
    assert problems[-1] == "and 95 more"
