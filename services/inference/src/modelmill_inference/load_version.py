"""Use case: load a model version, from its artifact to a warm engine."""

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
from modelmill_registry.model_folder import context_tokens_of, safetensors_problem
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
from modelmill_inference.find_engine import EngineChoice, FindEngine

WEIGHT_SUFFIXES = frozenset({".bin", ".safetensors", ".gguf", ".onnx", ".data", ".plan"})
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER = "tokenizer.json"
WARM_TEXT = "Hello"
WARM_TOKENS = 2
RETRY_SECONDS = 30.0
"""Maximum Retry-After if the remaining load time is unknown."""
ALIKE = 2.0
"""Maximum size ratio of versions that take about as long to load."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Limits and size of a model, with its adapter, if any."""

    config: Mapping[str, Any]
    tokenizer: Path
    """Folder of tokenizer and chat template."""
    limits: ModelLimits
    weight_bytes: int
    drafts: bool = False
    """Whether its requests are to draft by prompt lookup."""


def read_files(folder: Path, adapter: Path | None, context_tokens: int) -> ModelFiles:
    """Read the config; the smaller context limit of registry and config applies.

    Raises:
        PreconditionError: a file is missing or malformed.
    """
    # An adapter was trained with the template in its own folder.
    own = adapter is not None and (adapter / TOKENIZER).is_file()
    try:
        config = _config(folder)
        vocabulary, positions = int(config["vocab_size"]), context_tokens_of(config)
        drafts = _drafts(folder)
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
    weight_bytes = sum(map(_weight_bytes, sources))
    return ModelFiles(config, tokenizer, limits, weight_bytes, drafts)


def check_adapter(adapter: Path, base: Path) -> None:
    """Check an adapter's weights without an engine.

    Raises:
        PreconditionError: they are incomplete, or do not fit the base.
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


def _drafts(folder: Path) -> bool:
    path = folder / "generation_config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return bool(dict(said).get("prompt_lookup_num_tokens"))


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Limits of key-value caches."""

    cache_bytes: int
    """Maximum per version."""
    sequences: int
    """Maximum sequences in a batch."""
    prompt_lookup: bool = True
    """Whether versions draft whose builds say so."""


@dataclass(frozen=True, slots=True)
class PreparedVersion:
    """A version with verified local files, and its estimated memory."""

    model: ModelReady
    runs: EngineChoice
    folder: Path
    adapter: Path | None
    files: ModelFiles
    tokenizer: OpenTokenizer
    need: MemoryNeed
    began: float
    """Start time, on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A loaded version."""

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
    """Verifies the artifact, starts the engine for its form, and warms it up."""

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
        """Name of the engine for a version.

        Raises:
            NotFoundError: no engine here runs it.
        """
        return self._find_engine(model).kind.name

    async def prepare(self, model: ModelReady) -> PreparedVersion:
        """Fetch and verify the files, and check everything that needs no engine.

        Raises:
            NotFoundError: there is no engine for its form, or artifact or base do not exist.
            PreconditionError: the artifact does not verify, is not a model, or does not fit its
                base, or its tokenizer exceeds a resource limit.
            OverloadedError: its tokenizer exceeded a limit recently and is blocked for a while.
        """
        began, runs = time.monotonic(), self._find_engine(model)
        folder, adapter, files = await asyncio.to_thread(self._files, model, runs)
        try:
            tokenizer = await self._tokenizers.open(model.tenant, files.tokenizer)
        except InvalidInputError as error:
            raise PreconditionError(f"the artifact cannot be served: {error}") from error
        need = self._need(model, runs, files)
        return PreparedVersion(model, runs, folder, adapter, files, tokenizer, need, began)

    def _files(self, model: ModelReady, runs: EngineChoice) -> tuple[Path, Path | None, ModelFiles]:
        folder = self._store.materialise(runs.weights.digest)
        adapter = None
        if runs.base is not None:
            self._refuse_foreign(model, runs.base)
            adapter = self._store.materialise(model.digest)
            check_adapter(adapter, folder)
        return folder, adapter, read_files(folder, adapter, model.context_tokens)

    def _need(self, model: ModelReady, runs: EngineChoice, files: ModelFiles) -> MemoryNeed:
        cache_bytes = cache_ceiling(
            self._cache.cache_bytes,
            files.config,
            sequences=self._cache.sequences,
            context_tokens=files.limits.context_tokens,
        )
        identity = f"{runs.kind.name} {runs.weights.digest} {model.digest}"
        drafts = files.drafts and self._cache.prompt_lookup
        return estimate(identity, runs.kind.name, files.weight_bytes, cache_bytes, drafts=drafts)

    def _refuse_foreign(self, adapter: ModelReady, base: ModelReady) -> None:
        """Check the base against the immutable manifest of the adapter."""
        trained_on = self._store.manifest(adapter.digest).made_from.get("base")
        if trained_on is not None and trained_on != base.digest:
            raise PreconditionError(
                f"adapter {adapter.version_id} was not trained on {base.version_id}, "
                "which it names as its base"
            ).because("FOREIGN_ADAPTER")

    async def open(self, prepared: PreparedVersion) -> LoadedVersion:
        """Load and warm up; on failure nothing is left running.

        Raises:
            PreconditionError: the engine rejected it.
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
    """Generate two tokens, so that no client request pays for lazy initialisation."""
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
        """Whether the other load takes about as long; an adapter is loaded with its base."""
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
    """Seconds; None without an earlier load."""

    def left(self, now: float) -> float | None:
        """Remaining seconds; None if unknown, or if it takes longer than expected."""
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


class LoadHistory:
    """Running, finished and failed loads of this process; times are on the event loop's clock.

    Args:
        failure_seconds: a version that failed to load is not retried for this long; callers get
            the same error.
        margin_seconds: time before a caller's deadline at which the reason is returned instead of a
            timeout.
    """

    def __init__(self, *, failure_seconds: float = 5.0, margin_seconds: float = 0.25) -> None:
        self._failure_seconds = failure_seconds
        self._margin_seconds = margin_seconds
        self._under_way: dict[str, _UnderWay] = {}
        self._taken: dict[str, tuple[_Load, float]] = {}
        """Last load of each version and its duration, newest last."""
        self._failures: dict[str, _Failure] = {}

    def begin(self, model: ModelReady, engine: str) -> None:
        """Record the start of a load."""
        load = _Load(model, engine, _now())
        self._under_way[model.version_id] = _UnderWay(load, self._expected(load))

    def loading_fact(self, version_id: str) -> ModelServing:
        """The announcement of a running load."""
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
        """Record a successful load."""
        load = self._under_way.pop(version_id).load
        self._failures.pop(version_id, None)
        self._taken.pop(version_id, None)
        self._taken[version_id] = load, _now() - load.began

    def fail(self, version_id: str, error: BaseException) -> None:
        """Record a failed or cancelled load."""
        del self._under_way[version_id]
        # A lack of memory is retried at once: another version may just be unloading.
        is_lasting = isinstance(error, DomainError) and not isinstance(error, OverloadedError)
        if isinstance(error, Exception):
            until = _now() + (self._failure_seconds if is_lasting else 0.0)
            self._failures[version_id] = _Failure(error, until)

    def refuse_failed(self, version_id: str) -> None:
        """Raise the error of the last load while a retry is blocked."""
        failure = self._failures.get(version_id)
        if failure is not None and _now() < failure.until:
            raise failure.error

    async def loaded(
        self, load: asyncio.Task[LoadedVersion], version_id: str, deadline: float | None
    ) -> LoadedVersion:
        """Wait for a load; it continues for other callers if this one leaves.

        Raises:
            OverloadedError: it does not finish by the deadline, or is not expected to.
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
        """Expected seconds; None after a failure, so that callers wait and get the reason."""
        version_id = load.model.version_id
        if version_id in self._failures:
            return None
        if version_id in self._taken:
            return self._taken[version_id][1]
        alike = [seconds for other, seconds in self._taken.values() if load.is_like(other)]
        return alike[-1] if alike else None


def _now() -> float:
    return asyncio.get_running_loop().time()
