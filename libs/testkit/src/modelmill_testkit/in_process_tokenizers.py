"""Tokenizers that run in the test's own process, without limits, for models that it made itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelmill_tokenization import ChatTokenizer, Function, Turn
from modelmill_tokenization.bounded.opened import OpenTokenizer


@dataclass(frozen=True)
class InProcess:
    """`modelmill_tokenization.bounded.opened.PromptEncoder`."""

    tokenizer: ChatTokenizer

    async def encode_prompt(
        self, tenant: str, turns: Sequence[Turn], tools: Sequence[Function] = ()
    ) -> list[int]:
        """Ids of a conversation."""
        return self.tokenizer.encode_prompt(turns, tools)

    async def encode(self, tenant: str, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text."""
        return self.tokenizer.encode_batch(texts)


class InProcessTokenizers:
    """Opens folders as `modelmill_tokenization.bounded.pool.TokenizerPool` does."""

    async def open(self, tenant: str, folder: Path) -> OpenTokenizer:
        """Load it here."""
        tokenizer = ChatTokenizer.load(folder)
        return OpenTokenizer(tokenizer, InProcess(tokenizer))
