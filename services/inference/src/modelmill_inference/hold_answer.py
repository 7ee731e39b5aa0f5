"""Use case: an answer that keeps its form to the end, also where it comes to its limit."""

import asyncio
import codecs
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from modelmill_tokenization.token_decoder import TokenDecoder

from modelmill_inference.domain.generation import GenerationRequest, TokenPiece
from modelmill_inference.domain.grammar.constrained_output import ConstrainedOutput, hold, is_large
from modelmill_inference.domain.grammar.tree import Grammar, printed
from modelmill_inference.domain.sampling import Constraint
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.resumed_answer import resumed

LONG_CHARACTERS = 1_000
"""A longer text is followed through its grammar in a thread."""


async def constrained_output(constraint: Constraint, max_tokens: int) -> ConstrainedOutput:
    """`hold`, in a thread when it takes long."""
    if is_large(constraint):
        return await asyncio.to_thread(hold, constraint, max_tokens)
    return hold(constraint, max_tokens)


async def held_pieces(
    version: LoadedVersion, request: GenerationRequest, form: ConstrainedOutput | None
) -> AsyncGenerator[TokenPiece, None]:
    """The answer's tokens as they come; an answer with a form ends whole, with "stop"."""
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
    """Holds back tokens that leave a character half written: no grammar can begin within one."""

    def __init__(self, tokenizer: TokenDecoder) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = TokenPiece(())
        self._texts: list[str] = []
        self.tokens: list[int] = []
        """Without those that are held back."""
        self.generated = 0
        """With them."""

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def push(self, piece: TokenPiece) -> TokenPiece:
        """What came, up to the last whole character."""
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
        """The last piece of an answer that ended by itself."""
        return _joined(self._held, piece)


def _joined(first: TokenPiece, second: TokenPiece) -> TokenPiece:
    return TokenPiece(
        first.tokens + second.tokens, second.finish_reason, first.chosen + second.chosen
    )
