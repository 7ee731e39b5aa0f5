"""A tokenizer that was opened in a pool, as its users see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelmill_tokenization.token_decoder import TokenDecoder
from modelmill_tokenization.tool_turns import Function, Turn


class PromptEncoder(Protocol):
    """From a request to ids, within limits."""

    async def encode_prompt(
        self, tenant: str, turns: Sequence[Turn], tools: Sequence[Function] = ()
    ) -> list[int]:
        """Ids of a conversation up to the point where the assistant begins to speak.

        Args:
            tenant: whose request it is.

        Raises:
            InvalidInputError: the model has no chat template, or it refuses the turns.
            LimitError: template or tokenizer took more than they may.
            OverloadedError: they did before, and are not run for a while.
        """

    async def encode(self, tenant: str, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text as it is; raises the same."""


class Encodes(Protocol):
    """What encodes for several folders; see `pool.TokenizerPool`."""

    async def encode_prompt(
        self, tenant: str, folder: Path, turns: Sequence[Turn], tools: Sequence[Function]
    ) -> list[int]: ...

    async def encode(self, tenant: str, folder: Path, texts: Sequence[str]) -> list[list[int]]: ...


@dataclass(frozen=True, slots=True)
class FolderEncoder:
    """`PromptEncoder` of one folder."""

    pool: Encodes
    folder: Path

    async def encode_prompt(
        self, tenant: str, turns: Sequence[Turn], tools: Sequence[Function] = ()
    ) -> list[int]:
        return await self.pool.encode_prompt(tenant, self.folder, turns, tools)

    async def encode(self, tenant: str, texts: Sequence[str]) -> list[list[int]]:
        return await self.pool.encode(tenant, self.folder, texts)


@dataclass(frozen=True, slots=True)
class OpenTokenizer:
    """Both ways of one folder."""

    decoder: TokenDecoder
    """Runs here."""
    prompts: PromptEncoder
    """Runs foreign code, in processes that are bounded."""
