"""Use case: enforce a grammar up to the end of an answer, even at its token limit."""

import asyncio
import codecs
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from modelmill_tokenization.token_decoder import TokenDecoder

from modelmill_inference.domain.generation import GenerationRequest, TokenPiece
from modelmill_inference.domain.grammar.constrained_output import (
    ConstrainedOutput,
    constrain,
    is_large,
)
from modelmill_inference.domain.grammar.tree import Grammar, printed
from modelmill_inference.domain.sampling import OutputConstraint
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.resumed_answer import resumed

LONG_CHARACTERS = 1_000
"""Longer texts are matched against the grammar in a thread."""


async def constrained_output(constraint: OutputConstraint, max_tokens: int) -> ConstrainedOutput:
    """`constrain`, in a thread if the constraint is large."""
    if is_large(constraint):
        return await asyncio.to_thread(constrain, constraint, max_tokens)
    return constrain(constraint, max_tokens)


async def constrained_pieces(
    version: LoadedVersion, request: GenerationRequest, form: ConstrainedOutput | None
) -> AsyncGenerator[TokenPiece, None]:
    """Stream the answer's tokens; a constrained answer ends complete, with "stop"."""
    if form is None or form.free_tokens == form.max_tokens:
        async with aclosing(resumed(version.engine, request)) as pieces:
            async for piece in pieces:
                yield piece
        return
    free = _WholeCharacters(version.tokenizer)
    if form.free_tokens > 0:
        asked = replace(request, max_new_tokens=form.free_tokens)
        async with aclosing(resumed(version.engine, asked)) as pieces:
            async for piece in pieces:
                if piece.finish_reason == "stop":
                    yield free.with_held(piece)
                    return
                yield free.push(piece)
    left = form.max_tokens - free.generated
    rest = await _ending(form, free.text, left)
    if rest is None:
        yield TokenPiece((), "stop")
        return
    prompt = (*request.prompt, *free.tokens)
    asked = replace(request, prompt=prompt, max_new_tokens=left, grammar=printed(rest))
    async with aclosing(resumed(version.engine, asked)) as pieces:
        async for piece in pieces:
            yield piece


async def _ending(form: ConstrainedOutput, text: str, left: int) -> Grammar | None:
    if len(text) > LONG_CHARACTERS:
        return await asyncio.to_thread(form.ending, text, left)
    return form.ending(text, left)


class _WholeCharacters:
    """Buffers tokens up to a whole character: a grammar cannot start inside one."""

    def __init__(self, tokenizer: TokenDecoder) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = TokenPiece(())
        self._texts: list[str] = []
        self.tokens: list[int] = []
        """Without buffered tokens."""
        self.generated = 0
        """Including buffered tokens."""

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def push(self, piece: TokenPiece) -> TokenPiece:
        """Add a piece; returns the tokens up to the last whole character."""
        self.generated += len(piece.tokens)
        whole = len(self._held.tokens)
        piece = _joined(self._held, piece)
        kept = 0
        for number, token in enumerate(piece.tokens[whole:], whole + 1):
            self._texts.append(self._decoder.decode(self._tokenizer.token_bytes(token)))
            if not self._decoder.getstate()[0]:
                kept = number
        self.tokens += piece.tokens[:kept]
        self._held = TokenPiece(piece.tokens[kept:], chosen=piece.chosen[kept:])
        return TokenPiece(piece.tokens[:kept], chosen=piece.chosen[:kept])

    def with_held(self, piece: TokenPiece) -> TokenPiece:
        """The last piece of an answer that ended by itself, with all buffered tokens."""
        return _joined(self._held, piece)


def _joined(first: TokenPiece, second: TokenPiece) -> TokenPiece:
    return TokenPiece(
        first.tokens + second.tokens, second.finish_reason, first.chosen + second.chosen
    )
