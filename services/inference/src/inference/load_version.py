"""Use case: bring one model version up, from its artifact to a warm engine."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import ModelReady
from registry.manifest import Manifest
from service_kit.errors import PreconditionError
from tokenization.chat_tokenizer import ChatTokenizer

from inference.domain.generation import ModelLimits, plan_generation
from inference.domain.memory import MemoryNeed, cache_ceiling, estimate
from inference.domain.sampling import SamplingOptions
from inference.engine import Engine
from inference.find_engine import FindEngine, Runs
from inference.model_files import ModelFiles, check_adapter, read_files

WARM_TEXT = "Hello"
WARM_TOKENS = 2


class Artifacts(Protocol):
    """Where the files of a version are."""

    def materialise(self, digest: str) -> Path:
        """A local folder with verified files; blocks. NotFoundError, PreconditionError."""

    def manifest(self, digest: str) -> Manifest:
        """What an artifact consists of and was made from. Raises as `materialise`."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What engines may keep of keys and values."""

    cache_bytes: int
    """Of each version, at most."""
    sequences: int
    """Generated together, at most."""


@dataclass(frozen=True, slots=True)
class PreparedVersion:
    """A version whose files are here and verified, and what it will take to open it."""

    model: ModelReady
    runs: Runs
    folder: Path
    adapter: Path | None
    files: ModelFiles
    need: MemoryNeed
    began: float
    """When this began, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that answers."""

    version_id: str
    owner: str
    """Its tenant."""
    engine_name: str
    engine: Engine
    tokenizer: ChatTokenizer
    limits: ModelLimits
    load_seconds: float


class Versions(Protocol):
    """Where loaded versions are had; see `lease_version.VersionPool`."""

    def lease(self, tenant: str, version_id: str) -> AbstractAsyncContextManager[LoadedVersion]: ...


class LoadVersion:
    """Verifies the artifact, opens the engine for its form, and generates a few tokens with it."""

    def __init__(self, artifacts: Artifacts, find_engine: FindEngine, cache: CacheSettings) -> None:
        self._artifacts = artifacts
        self._find_engine = find_engine
        self._cache = cache

    def check(self, model: ModelReady) -> str:
        """Name of the engine that would run it.

        Raises:
            NotFoundError: no engine here can.
        """
        return self._find_engine(model).kind.name

    async def prepare(self, model: ModelReady) -> PreparedVersion:
        """Have its files at hand, and look at all that can be known without an engine.

        Raises:
            NotFoundError: no engine for its form, or the artifact or its base is gone.
            PreconditionError: the artifact does not verify, is no model, or fits no such base.
        """
        began = time.monotonic()
        return await asyncio.to_thread(self._prepare, model, self._find_engine(model), began)

    def _prepare(self, model: ModelReady, runs: Runs, began: float) -> PreparedVersion:
        folder = self._artifacts.materialise(runs.weights.digest)
        adapter = None
        if runs.base is not None:
            self._refuse_foreign(model, runs.base)
            adapter = self._artifacts.materialise(model.digest)
            check_adapter(adapter, folder)
        files = read_files(folder, adapter, model.context_tokens)
        return PreparedVersion(
            model, runs, folder, adapter, files, self._need(model, runs, files), began
        )

    def _need(self, model: ModelReady, runs: Runs, files: ModelFiles) -> MemoryNeed:
        cache_bytes = cache_ceiling(
            self._cache.cache_bytes,
            files.config,
            sequences=self._cache.sequences,
            context_tokens=files.limits.context_tokens,
        )
        identity = f"{runs.kind.name} {runs.weights.digest} {model.digest}"
        return estimate(identity, runs.kind.name, files.weight_bytes, cache_bytes)

    def _refuse_foreign(self, adapter: ModelReady, base: ModelReady) -> None:
        """The manifest, which nobody can change, has the last word on what it was trained on."""
        trained_on = self._artifacts.manifest(adapter.digest).made_from.get("base")
        if trained_on is not None and trained_on != base.digest:
            raise PreconditionError(
                f"adapter {adapter.version_id} was not trained on {base.version_id}, "
                "which it names as its base"
            ).because("FOREIGN_ADAPTER")

    async def open(self, prepared: PreparedVersion) -> LoadedVersion:
        """Load and warm; on failure nothing is left running.

        Raises:
            PreconditionError: the engine refused it.
            UnavailableError: the engine did not load in time.
        """
        model, files, kind = prepared.model, prepared.files, prepared.runs.kind
        engine = kind.engine_for(prepared.folder, files.tokenizer.eos_ids, prepared.adapter)
        try:
            await engine.load()
            await _warm(engine, files.tokenizer, files.limits)
        except BaseException:
            await engine.close()
            raise
        return LoadedVersion(
            version_id=model.version_id,
            owner=model.tenant,
            engine_name=kind.name,
            engine=engine,
            tokenizer=files.tokenizer,
            limits=files.limits,
            load_seconds=time.monotonic() - prepared.began,
        )


async def _warm(engine: Engine, tokenizer: ChatTokenizer, limits: ModelLimits) -> None:
    """Generate two tokens: the first request of a client does not pay for what is set up lazily."""
    request = plan_generation(
        tokenizer.encode(WARM_TEXT),
        SamplingOptions(max_new_tokens=WARM_TOKENS),
        limits,
        engine.abilities,
        random_seed=0,
    )
    async with aclosing(engine.generate(request)) as pieces:
        async for _ in pieces:
            pass
