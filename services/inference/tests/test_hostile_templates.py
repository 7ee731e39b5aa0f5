"""A model whose chat template or tokenizer does not end harms its own requests and no others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_inference.admit_requests import EngineQueues
from modelmill_inference.count_tokens import CountTokens
from modelmill_inference.domain.memory import GIB
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.find_engine import FindEngine
from modelmill_inference.generate_text import GenerateCommand, GenerateText
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import CacheSettings, LoadVersion
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_inference.metrics import TokenizerFigures
from modelmill_inference.render_prompt import Prompt
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import DomainError, OverloadedError, PreconditionError
from modelmill_testkit.hostile_models import HOSTILE, TRIGGER
from modelmill_tokenization.bounded import LimitError, Limits
from modelmill_tokenization.bounded.pool import TokenizerPool

from .fakes import PATIENT, FakeKind, FakeModels, HeardFacts, plenty_free

pytestmark = pytest.mark.tier("test")

LIMITS = Limits(cpu_seconds=0.5, seconds=20.0)
GOOD = "mv-good"


class World:
    """Versions of two tenants, engines without models, and real processes for tokenizers."""

    def __init__(self, folder: Path, llama: Path, tokenizers: TokenizerPool) -> None:
        self.folder = folder
        self.store, self.models, self.heard = FolderStore(folder / "s"), FakeModels(), HeardFacts()
        finder = FindEngine(self.models, [FakeKind()])
        loader = LoadVersion(self.store, finder, CacheSettings(GIB, sequences=4), tokenizers)
        room = MemoryBudget(plenty_free, MemoryLimits(2**40))
        self.pool = VersionPool(self.models, loader, self.heard, room, max_in_flight=64)
        self.generate = GenerateText(self.pool, EngineQueues(PATIENT))
        self.count = CountTokens(self.pool)
        self.file(GOOD, "acme", llama)

    def file(self, version_id: str, tenant: str, folder: Path) -> None:
        digest = self.store.commit(folder, kind="model", form="openvino-int8").digest
        model = ModelReady(version_id=version_id, tenant=tenant, digest=digest)
        model.form = "openvino-int8"
        self.models.versions[tenant, version_id] = model

    def hostile(self, name: str) -> str:
        folder = self.folder / name.replace(" ", "-").replace(":", "")
        HOSTILE[name](folder)
        version_id = f"mv-{folder.name}"
        self.file(version_id, "rival", folder)
        return version_id

    async def chat(self, version_id: str, tenant: str, content: str = "hello") -> None:
        prompt = Prompt(({"role": "user", "content": content},))
        options = SamplingOptions(max_new_tokens=4)
        command = GenerateCommand(tenant, version_id, prompt, options)
        async with aclosing(self.generate(command)) as parts:
            async for _ in parts:
                pass

    async def others_beside(self, version_id: str, content: str) -> tuple[DomainError, float]:
        """How a hostile chat ends, and the longest that a chat of another tenant took beside it."""
        for _ in range(4):
            await self.chat(GOOD, "acme")
        hostile = asyncio.create_task(self.chat(version_id, "rival", content))
        longest = 0.0
        while not hostile.done():
            began = time.monotonic()
            await self.chat(GOOD, "acme")
            longest = max(longest, time.monotonic() - began)
        with pytest.raises(DomainError) as ended:
            await hostile
        return ended.value, longest


@pytest_asyncio.fixture
async def world(tmp_path: Path, llama_folder: Path) -> AsyncIterator[World]:
    async with TokenizerPool(LIMITS, TokenizerFigures()) as tokenizers:
        world = World(tmp_path, llama_folder, tokenizers)
        yield world
        await world.pool.close()


async def test_a_template_that_does_not_end_is_not_served(world: World) -> None:
    version_id = world.hostile("template: power")

    error, longest = await world.others_beside(version_id, "hello")

    assert isinstance(error, LimitError)
    assert longest < LIMITS.seconds / 2
    assert world.heard.of(version_id) == ["FAILED"]


@pytest.mark.parametrize("name", ["sleeper: nested loops", "sleeper: power of a variable"])
async def test_a_template_that_does_not_end_on_one_message_is_stopped(
    world: World, name: str
) -> None:
    version_id = world.hostile(name)
    await world.chat(version_id, "rival")

    error, longest = await world.others_beside(version_id, TRIGGER)

    assert isinstance(error, LimitError)
    assert longest < LIMITS.seconds / 2
    with pytest.raises(OverloadedError, match="is not run for"):
        await world.count("rival", version_id, Prompt(({"role": "user", "content": "hello"},)))
    await world.chat(GOOD, "acme")


async def test_a_decoder_without_bounds_is_not_served(world: World) -> None:
    version_id = world.hostile("tokenizer: decoder by expression")

    with pytest.raises(PreconditionError, match="replaces by a regular expression"):
        await world.chat(version_id, "rival")
