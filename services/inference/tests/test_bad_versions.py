"""Versions that cannot be served are refused typed, and others go on as if nothing had been."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_inference.adapters.engine_process import EngineProcess, ProcessPlan
from modelmill_inference.domain.generation import Abilities
from modelmill_inference.domain.memory import GIB
from modelmill_inference.find_engine import FindEngine
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import CacheSettings, LoadVersion, read_files
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import (
    DomainError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from modelmill_testkit.in_process_tokenizers import InProcessTokenizers

from .engine_bench import PROMPTS, Bench
from .fakes import FakeKind, FakeModels, HeardFacts, plenty_free

GOOD = "mv-good"


@dataclass(frozen=True)
class StillbornKind(FakeKind):
    """Its process ends before it says a word."""

    name: str = "stillborn"

    def can_run(self, form: str) -> bool:
        return form == "stillborn"

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> Any:
        # No child of an engine: it takes the number of its socket for a module's folder.
        plan = ProcessPlan(self.name, "compileall", folder, {}, Abilities(), end_tokens)
        return EngineProcess(plan)


class World:
    """A good version that is always in use, and what is filed beside it."""

    def __init__(self, folder: Path, llama: Path) -> None:
        self.llama, self.root = llama, folder / "store"
        self.store, self.models, self.heard = FolderStore(self.root), FakeModels(), HeardFacts()
        find_engine = FindEngine(self.models, [FakeKind(), StillbornKind()])
        loader = LoadVersion(
            self.store, find_engine, CacheSettings(GIB, sequences=4), InProcessTokenizers()
        )
        room = MemoryBudget(plenty_free, MemoryLimits(2**40))
        self.pool = VersionPool(self.models, loader, self.heard, room, max_in_flight=8)
        self.file(GOOD, llama)

    def file(self, version_id: str, folder: Path, form: str = "openvino-int8") -> str:
        digest = self.store.commit(
            folder, kind="model", form=form, attributes={"of": version_id}
        ).digest
        self.announce(version_id, digest, form)
        return digest

    def announce(self, version_id: str, digest: str, form: str = "openvino-int8") -> None:
        model = ModelReady(version_id=version_id, tenant="acme", digest=digest, form=form)
        self.models.versions["acme", version_id] = model

    async def refusal(self, version_id: str) -> DomainError:
        """The error that a request for it ends with, while the good version generates."""
        async with self.pool.lease("acme", GOOD) as good:
            bench = Bench(good.engine, good.tokenizer)
            whole = await bench.tokens(PROMPTS[0])
            told = list[int]()
            async with aclosing(good.engine.generate(bench.plan(PROMPTS[0]))) as pieces:
                told += (await anext(pieces)).tokens
                with pytest.raises(DomainError) as refused:
                    async with self.pool.lease("acme", version_id):
                        pass
                async for piece in pieces:
                    told += piece.tokens
            assert told == whole
        assert [served.version_id for served in self.pool.serving()] == [GOOD]
        assert self.heard.of(GOOD) == ["READY"]
        return refused.value


@pytest_asyncio.fixture
async def world(tmp_path: Path, llama_folder: Path) -> AsyncIterator[World]:
    world = World(tmp_path, llama_folder)
    yield world
    await world.pool.close()


async def test_an_artifact_whose_bytes_changed_is_refused(world: World) -> None:
    odd = world.root.parent / "odd"
    odd.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (odd / name).write_bytes((world.llama / name).read_bytes())
    (odd / "weights.bin").write_bytes(b"weights that nobody else has")
    world.file("mv-rotten", odd)
    (blob,) = (
        path
        for path in (world.root / "blobs").rglob("*")
        if path.is_file() and path.read_bytes().startswith(b"weights that nobody")
    )
    blob.chmod(0o644)
    blob.write_bytes(b"weights that somebody changed")

    assert isinstance(await world.refusal("mv-rotten"), PreconditionError)
    assert world.heard.of("mv-rotten") == ["FAILED"]


async def test_an_artifact_that_is_gone_is_not_found(world: World) -> None:
    world.announce("mv-gone", f"sha256:{'0' * 64}")

    assert isinstance(await world.refusal("mv-gone"), NotFoundError)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        '"llama"',
        '{"vocab_size": 384}',
        '{"vocab_size": "many", "max_position_embeddings": 512}',
        '{"vocab_size": 0, "max_position_embeddings": 512}',
    ],
)
async def test_an_artifact_that_is_no_model_is_refused(
    world: World, tmp_path: Path, config: str
) -> None:
    folder = tmp_path / "strange"
    shutil.copytree(world.llama, folder)
    (folder / "config.json").write_text(config)

    world.file("mv-strange", folder)

    assert "cannot be served" in (await world.refusal("mv-strange")).message


@pytest.mark.parametrize("name", ["n_positions", "max_position_embeddings"])
def test_the_limit_of_a_model_is_read_by_any_name_that_transformers_gives_it(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 384, name: 128}))

    assert read_files(tmp_path, None, 0).limits.context_tokens == 128


async def test_a_form_that_no_engine_knows_is_not_found(world: World) -> None:
    world.file("mv-new", world.llama, form="of-tomorrow")

    refused = await world.refusal("mv-new")

    assert isinstance(refused, NotFoundError)
    assert "no engine runs 'of-tomorrow'" in refused.message


@pytest.mark.tier("test")
async def test_an_engine_that_dies_while_it_loads_is_said_to_be_unavailable(world: World) -> None:
    world.file("mv-stillborn", world.llama, form="stillborn")

    refused = await world.refusal("mv-stillborn")

    assert isinstance(refused, UnavailableError)
    assert world.heard.of("mv-stillborn") == ["FAILED"]


@pytest.mark.tier("test")
async def test_many_who_ask_for_a_bad_version_start_one_engine(world: World) -> None:
    world.file("mv-stillborn", world.llama, form="stillborn")

    refused = await asyncio.gather(*(world.refusal("mv-stillborn") for _ in range(4)))

    assert all(isinstance(error, UnavailableError) for error in refused)
    assert world.heard.of("mv-stillborn") == ["FAILED"]
