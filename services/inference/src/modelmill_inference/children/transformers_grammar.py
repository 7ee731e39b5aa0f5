"""Grammars that answers are held to (XGrammar, imported with the first of them)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CACHE_BYTES = 64 * 1024 * 1024
"""Of compiled grammars."""


class DeadEndError(Exception):
    """The grammar allows no token that the model has."""


class GrammarMask:
    """Where one answer is in its grammar."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._bits = torch.empty(1, -(-vocabulary // 32), dtype=torch.int32)

    def apply(self, logits: Tensor) -> Tensor:
        """The logits with what is not allowed at minus infinity; DeadEndError when nothing is."""
        if not self._matcher.fill_next_token_bitmask(self._bits):
            return logits
        bits = (self._bits[0, :, None] >> torch.arange(32, dtype=torch.int32)) & 1
        allowed = bits.flatten()[: len(logits)].bool()
        if not allowed.any():
            raise DeadEndError("the grammar allows no token that the model has")
        return logits.masked_fill(~allowed, float("-inf"))

    def accept(self, token: int) -> bool:
        """Go on by a token; whether the answer is whole by it."""
        if not self._matcher.accept_token(token):
            raise DeadEndError("the grammar does not allow what it allowed")
        return bool(self._matcher.is_terminated())


class Grammars:
    """Compiles grammars for one model; the last ones are kept."""

    def __init__(self, folder: Path, vocabulary: int) -> None:
        self._folder = folder
        self._vocabulary = vocabulary
        self._compiler: Any | None = None

    def mask(self, grammar: str, end_tokens: list[int]) -> GrammarMask:
        """The mask of an answer that begins; any exception means that the grammar is none."""
        from xgrammar import GrammarMatcher

        if self._compiler is None:
            self._compiler = _compiler(self._folder, self._vocabulary, end_tokens)
        matcher = GrammarMatcher(
            self._compiler.compile_grammar(grammar),
            override_stop_tokens=end_tokens or None,
            terminate_without_stop_token=not end_tokens,
        )
        mask = GrammarMask(matcher, self._vocabulary)
        mask.apply(torch.zeros(self._vocabulary))
        return mask


def _compiler(folder: Path, vocabulary: int, end_tokens: list[int]) -> Any:
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast
    from xgrammar import GrammarCompiler, TokenizerInfo

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    stops = end_tokens or None
    named = TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=stops)
    texts = named.decoded_vocab
    for token, added in tokenizer.added_tokens_decoder.items():
        # It would be taken for the text of its name, which an answer's reader never sees.
        if added.special and token < len(texts):
            texts[token] = b""
    info = TokenizerInfo(texts, vocab_size=vocabulary, stop_token_ids=stops)
    return GrammarCompiler(info, cache_limit_bytes=CACHE_BYTES)
