"""Which tokens a grammar allows next, by XGrammar (imports torch)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelmill_inference.children.round_robin import DeadEndError
from modelmill_inference.children.sampler import Mask

CACHE_BYTES = 64 * 1024 * 1024
"""Of compiled grammars."""


class GrammarMask:
    """Grammar state of one answer."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._bits = torch.empty(1, -(-vocabulary // 32), dtype=torch.int32)

    def allowed(self) -> Mask | None:
        """Tokens that may follow; None for all. Raises DeadEndError if none may."""
        if not self._matcher.fill_next_token_bitmask(self._bits):
            return None
        octets = self._bits[0].numpy().view(np.uint8)
        allowed = np.unpackbits(octets, bitorder="little")[: self._vocabulary].astype(np.bool_)
        if not allowed.any():
            raise DeadEndError("the grammar allows no token that the model has")
        return allowed

    def accept(self, token: int) -> bool:
        """Advance by a token; returns whether the answer is complete."""
        if not self._matcher.accept_token(token):
            raise DeadEndError("the grammar does not allow what it allowed")
        return bool(self._matcher.is_terminated())


class Grammars:
    """Compiles grammars for one model, with a cache."""

    def __init__(self, folder: Path, vocabulary: int) -> None:
        self._folder = folder
        self._vocabulary = vocabulary
        self._compiler: Any | None = None

    def mask(self, grammar: str, end_tokens: list[int]) -> GrammarMask:
        """Mask for a new answer; any exception means that the grammar is invalid."""
        from xgrammar import GrammarMatcher

        if self._compiler is None:
            self._compiler = _compiler(self._folder, self._vocabulary, end_tokens)
        matcher = GrammarMatcher(
            self._compiler.compile_grammar(grammar),
            override_stop_tokens=end_tokens or None,
            terminate_without_stop_token=not end_tokens,
        )
        mask = GrammarMask(matcher, self._vocabulary)
        mask.allowed()
        return mask


def _compiler(folder: Path, vocabulary: int, end_tokens: list[int]) -> Any:
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast
    from xgrammar import GrammarCompiler, TokenizerInfo

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    stops = end_tokens or None
    named = TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=stops)
    texts = named.decoded_vocab
    for token, added in tokenizer.added_tokens_decoder.items():
        # XGrammar would match its name as text, although answers do not contain special tokens.
        if added.special and token < len(texts):
            texts[token] = b""
    info = TokenizerInfo(texts, vocab_size=vocabulary, stop_token_ids=stops)
    return GrammarCompiler(info, cache_limit_bytes=CACHE_BYTES)
