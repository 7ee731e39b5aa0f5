"""Use case: bring one model version up, from its artifact to a warm engine."""

import asyncio
import json
import math
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from modelmill.registry.v1.model_events_pb2 import ModelReady, ModelServing, ServingState
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.model_folder import safetensors_problem
from modelmill_service_kit.errors import (
    DomainError,
    InvalidInputError,
    OverloadedError,
    PreconditionError,
)
from modelmill_tokenization.bounded.opened import OpenTokenizer, PromptEncoder
from modelmill_tokenization.bounded.pool import TokenizerPool
from modelmill_tokenization.token_decoder import TokenDecoder

from modelmill_inference.domain.adapter_fit import adapter_problems
from modelmill_inference.domain.generation import ModelLimits, plan_generation
from modelmill_inference.domain.memory import MemoryNeed, cache_ceiling, estimate, token_bytes
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.engine import Engine
from modelmill_inference.find_engine import FindEngine, Runs

WEIGHT_SUFFIXES = frozenset({".bin", ".safetensors", ".gguf", ".onnx", ".data", ".plan"})
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER = "tokenizer.json"
WARM_TEXT = "Hello"
WARM_TOKENS = 2
RETRY_SECONDS = 30.0
"""After which a caller asks again at most, where nothing is known of the time that is left."""
ALIKE = 2.0
"""A version at most so many times as large as another takes about as long to load."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Limits and size of a model, with its adapter if it has one."""

    config: Mapping[str, Any]
    tokenizer: Path
    """The folder of its tokenizer and chat template."""
    limits: ModelLimits
    weight_bytes: int


def read_files(folder: Path, adapter: Path | None, context_tokens: int) -> ModelFiles:
    """Read them; of context limits the smaller of the registry's and the config's counts.

    Raises:
        PreconditionError: a file is missing or is not what it should be.
    """
    # An adapter has learned the template that lies beside it.
    own = adapter is not None and (adapter / TOKENIZER).is_file()
    try:
        config = _config(folder)
        vocabulary, positions = (
            int(config[name]) for name in ("vocab_size", "max_position_embeddings")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PreconditionError(f"the artifact cannot be served: {error}") from error
    if vocabulary < 1 or positions < 1:
        raise PreconditionError("the artifact cannot be served: it has no vocabulary or no context")
    limits = ModelLimits(
        context_tokens=min(context_tokens or positions, positions),
        vocabulary=vocabulary,
        token_bytes=token_bytes(config),
    )
    sources = [folder] if adapter is None else [folder, adapter]
    tokenizer = adapter if own and adapter is not None else folder
    return ModelFiles(config, tokenizer, limits, sum(map(_weight_bytes, sources)))


def check_adapter(adapter: Path, base: Path) -> None:
    """Look at an adapter's weights, without an engine.

    Raises:
        PreconditionError: they are not whole, or do not fit the base.
    """
    try:
        with (adapter / ADAPTER_WEIGHTS).open("rb") as content:
            problem = safetensors_problem(content)
            if problem is not None:
                raise PreconditionError(f"the adapter's file of weights {problem}")
            content.seek(0)
            header = json.loads(content.read(int.from_bytes(content.read(8), "little")))
        header.pop("__metadata__", None)
        shapes = {name: tensor["shape"] for name, tensor in header.items()}
        problems = adapter_problems(shapes, _config(base))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PreconditionError(f"the adapter cannot be served: {error}") from error
    if problems:
        raise PreconditionError(f"the adapter does not fit its base: {'; '.join(problems)}")


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES)


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
    tokenizer: OpenTokenizer
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
    tokenizer: TokenDecoder
    prompts: PromptEncoder
    limits: ModelLimits
    load_seconds: float


class LoadVersion:
    """Verifies the artifact, opens the engine for its form, and generates a few tokens with it."""

    def __init__(
        self,
        store: ArtifactStore,
        find_engine: FindEngine,
        cache: CacheSettings,
        tokenizers: TokenizerPool,
    ) -> None:
        self._store = store
        self._tokenizers = tokenizers
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
            PreconditionError: the artifact does not verify, is no model, or fits no such base, or
                its tokenizer cannot be loaded within its limits.
            OverloadedError: its tokenizer passed them before, and is not run for a while.
        """
        began, runs = time.monotonic(), self._find_engine(model)
        folder, adapter, files = await asyncio.to_thread(self._files, model, runs)
        try:
            tokenizer = await self._tokenizers.open(model.tenant, files.tokenizer)
        except InvalidInputError as error:
            raise PreconditionError(f"the artifact cannot be served: {error}") from error
        need = self._need(model, runs, files)
        return PreparedVersion(model, runs, folder, adapter, files, tokenizer, need, began)

    def _files(self, model: ModelReady, runs: Runs) -> tuple[Path, Path | None, ModelFiles]:
        folder = self._store.materialise(runs.weights.digest)
        adapter = None
        if runs.base is not None:
            self._refuse_foreign(model, runs.base)
            adapter = self._store.materialise(model.digest)
            check_adapter(adapter, folder)
        return folder, adapter, read_files(folder, adapter, model.context_tokens)

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
        trained_on = self._store.manifest(adapter.digest).made_from.get("base")
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
        decoder, prompts = prepared.tokenizer.decoder, prepared.tokenizer.prompts
        engine = kind.engine_for(prepared.folder, decoder.eos_ids, prepared.adapter)
        try:
            [warm] = await prompts.encode(model.tenant, [WARM_TEXT])
            await engine.load()
            await _warm(engine, warm, files.limits)
        except BaseException:
            await engine.close()
            raise
        return LoadedVersion(
            version_id=model.version_id,
            owner=model.tenant,
            engine_name=kind.name,
            engine=engine,
            tokenizer=decoder,
            prompts=prompts,
            limits=files.limits,
            load_seconds=time.monotonic() - prepared.began,
        )


async def _warm(engine: Engine, tokens: list[int], limits: ModelLimits) -> None:
    """Generate two tokens: the first request of a client does not pay for what is set up lazily."""
    request = plan_generation(
        tokens,
        SamplingOptions(max_new_tokens=WARM_TOKENS),
        limits,
        engine.abilities,
        random_seed=0,
    )
    async with aclosing(engine.generate(request)) as pieces:
        async for _ in pieces:
            pass


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception
    until: float


@dataclass(frozen=True, slots=True)
class _Load:
    model: ModelReady
    engine: str
    began: float

    def is_like(self, other: "_Load") -> bool:
        """Whether it takes about as long; an adapter is loaded with its base."""
        sizes = sorted((self.model.size_bytes, other.model.size_bytes))
        same_base = self.model.parent_version_id == other.model.parent_version_id
        return (
            (self.engine, self.model.form) == (other.engine, other.model.form)
            and (self.model.form != "adapter" or same_base)
            and sizes[1] <= sizes[0] * ALIKE
        )


@dataclass(frozen=True, slots=True)
class _UnderWay:
    load: _Load
    expected: float | None
    """Seconds; None when no earlier load tells."""

    def left(self, now: float) -> float | None:
        """Seconds; None when nothing is known of them, or it takes longer than expected."""
        if self.expected is None:
            return None
        left = self.expected - (now - self.load.began)
        return left if left > 0 else None

    def refusal(self, now: float) -> OverloadedError:
        elapsed, left, model = now - self.load.began, self.left(now), self.load.model
        retry = math.ceil(left or min(max(elapsed, 1.0), RETRY_SECONDS))
        ahead = f", about {left:.0f} s left" if left else ""
        named = f'"{model.name}" ({model.version_id})' if model.name else model.version_id
        return OverloadedError(
            f"model {named} is loading: {elapsed:.0f} s so far{ahead}. Try again in {retry} s",
            retry_after_seconds=retry,
        ).because("MODEL_LOADING")


class LoadRecords:
    """Of one process; times are by the event loop's clock.

    Args:
        failure_seconds: a version that did not load is not tried again for this long; callers get
            the same error.
        margin_seconds: before a caller's deadline, so that it hears the reason and not only that
            its time is over.
    """

    def __init__(self, *, failure_seconds: float = 5.0, margin_seconds: float = 0.25) -> None:
        self._failure_seconds = failure_seconds
        self._margin_seconds = margin_seconds
        self._under_way: dict[str, _UnderWay] = {}
        self._taken: dict[str, tuple[_Load, float]] = {}
        """The last load of each version and its seconds, the newest last."""
        self._failures: dict[str, _Failure] = {}

    def begin(self, model: ModelReady, engine: str) -> None:
        """Note that it begins."""
        load = _Load(model, engine, _now())
        self._under_way[model.version_id] = _UnderWay(load, self._expected(load))

    def loading_fact(self, version_id: str) -> ModelServing:
        """What is told of one that is under way."""
        under_way = self._under_way[version_id]
        fact = ModelServing(
            version_id=version_id,
            engine=under_way.load.engine,
            state=ServingState.SERVING_STATE_LOADING,
            expected_seconds=under_way.expected or 0.0,
        )
        elapsed = timedelta(seconds=_now() - under_way.load.began)
        fact.began_at.FromDatetime(datetime.now(UTC) - elapsed)
        return fact

    def end(self, version_id: str) -> None:
        """Note that it is loaded."""
        load = self._under_way.pop(version_id).load
        self._failures.pop(version_id, None)
        self._taken.pop(version_id, None)
        self._taken[version_id] = load, _now() - load.began

    def fail(self, version_id: str, error: BaseException) -> None:
        """Note that it did not load, or was not let to an end."""
        del self._under_way[version_id]
        # After a want of room it is tried at once: there may be some in a moment.
        is_lasting = isinstance(error, DomainError) and not isinstance(error, OverloadedError)
        if isinstance(error, Exception):
            until = _now() + (self._failure_seconds if is_lasting else 0.0)
            self._failures[version_id] = _Failure(error, until)

    def refuse_failed(self, version_id: str) -> None:
        """Raise what the last load came to, while it is not to be tried again."""
        failure = self._failures.get(version_id)
        if failure is not None and _now() < failure.until:
            raise failure.error

    async def loaded(
        self, load: asyncio.Task[LoadedVersion], version_id: str, deadline: float | None
    ) -> LoadedVersion:
        """What the load comes to; it goes on for the others when the one who waits leaves.

        Raises:
            OverloadedError: it is not there by the deadline, or is not likely to be.
        """
        if deadline is not None and not load.done():
            under_way, now = self._under_way[version_id], _now()
            left = under_way.left(now)
            if left is None or now + left < deadline:
                patience = deadline - self._margin_seconds - now
                await asyncio.wait({load}, timeout=max(0.0, patience))
            if not load.done():
                raise under_way.refusal(_now())
        return await asyncio.shield(load)

    def _expected(self, load: _Load) -> float | None:
        """Seconds; of one that failed nothing is, so that who asks waits and hears why."""
        version_id = load.model.version_id
        if version_id in self._failures:
            return None
        if version_id in self._taken:
            return self._taken[version_id][1]
        alike = [seconds for other, seconds in self._taken.values() if load.is_like(other)]
        return alike[-1] if alike else None


def _now() -> float:
    return asyncio.get_running_loop().time()
