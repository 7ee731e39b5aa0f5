"""Use case: bring one model version up, from its artifact to a warm engine."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import ModelReady
from service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from tokenization.chat_tokenizer import ChatTokenizer

from inference.domain.cache_size import token_bytes
from inference.domain.generation import ModelLimits, plan_generation
from inference.domain.sampling import SamplingOptions
from inference.engine import Engine, EngineKind

WARM_TEXT = "Hello"
WARM_TOKENS = 2


class Artifacts(Protocol):
    """Where the files of a version are."""

    def materialise(self, digest: str) -> Path:
        """A local folder with verified files; blocks. NotFoundError, PreconditionError."""


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


class LoadVersion:
    """Verifies the artifact, opens the engine for its form, and generates a few tokens with it."""

    def __init__(self, artifacts: Artifacts, kinds: Sequence[EngineKind]) -> None:
        self._artifacts = artifacts
        self._kinds = kinds

    def kind_of(self, model: ModelReady) -> EngineKind:
        """The engine kind for a version's form.

        Raises:
            NotFoundError: no engine here can run it.
        """
        for kind in self._kinds:
            if kind.can_run(model.form):
                return kind
        raise NotFoundError(
            f"model version {model.version_id} cannot be served: no engine runs {model.form!r}"
        )

    async def __call__(self, model: ModelReady) -> LoadedVersion:
        """Load and warm; on failure nothing is left running.

        Raises:
            NotFoundError: no engine for its form, or the artifact is gone.
            PreconditionError: the artifact does not verify, or the engine refused it.
        """
        began = time.monotonic()
        kind = self.kind_of(model)
        folder = await asyncio.to_thread(self._artifacts.materialise, model.digest)
        tokenizer, limits = await asyncio.to_thread(_read_folder, folder, model.context_tokens)
        engine = kind.engine_for(folder, tokenizer.eos_ids)
        try:
            await engine.load()
            await _warm(engine, tokenizer, limits)
        except BaseException:
            await engine.close()
            raise
        return LoadedVersion(
            version_id=model.version_id,
            owner=model.tenant,
            engine_name=kind.name,
            engine=engine,
            tokenizer=tokenizer,
            limits=limits,
            load_seconds=time.monotonic() - began,
        )


def _read_folder(folder: Path, context_tokens: int) -> tuple[ChatTokenizer, ModelLimits]:
    """Tokenizer and limits; the smaller of what the registry and the model's config say."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        vocabulary, positions = config["vocab_size"], config["max_position_embeddings"]
        tokenizer = ChatTokenizer.load(folder)
    except (OSError, ValueError, KeyError, TypeError, InvalidInputError) as error:
        raise PreconditionError(f"the artifact cannot be served: {error}") from error
    return tokenizer, ModelLimits(
        context_tokens=min(context_tokens or positions, positions),
        vocabulary=vocabulary,
        token_bytes=token_bytes(config),
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
