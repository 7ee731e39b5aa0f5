"""Resolves the base model whose tokenizer encodes a dataset."""

import asyncio
from typing import Any, Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import TokenizeSpec
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_registry.artifact_store import ArtifactStore

from modelmill_data_prep.domain.tokens.token_plan import DEFAULT_PACK_TOKENS


class Models(Protocol):
    async def get(self, tenant: str, version_id: str) -> ModelReady:
        """A version that the tenant may use. Raises NotFoundError and UnavailableError."""
        ...


class BaseTokens:
    """Looks base models up and materialises their tokenizer files."""

    def __init__(self, models: Models, store: ArtifactStore) -> None:
        self._models = models
        self._store = store

    async def base(self, tenant: str, spec: TokenizeSpec) -> ModelReady | None:
        """The base model of a spec; None if it names none.

        Raises:
            NotFoundError: The model is unknown to the tenant.
            UnavailableError: The bus does not answer.
        """
        return await self._models.get(tenant, spec.model) if spec.model else None

    async def located(self, base: ModelReady, spec: TokenizeSpec) -> dict[str, Any]:
        """Tokenizer configuration for the child process, as JSON with a local folder.

        Raises:
            NotFoundError, CorruptArtifactError: The model's files are missing or corrupt.
        """
        folder = await asyncio.to_thread(self._store.materialise, base.digest)
        max_tokens = spec.max_tokens or base.context_tokens
        return {
            "model": base.version_id,
            "folder": str(folder),
            "max_tokens": max_tokens,
            "pack_tokens": max(spec.pack_tokens or DEFAULT_PACK_TOKENS, 1),
        }
