"""How an answer goes on whose engine died in the middle of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelmill_inference.domain.generation import GenerationRequest


@dataclass(frozen=True, slots=True)
class Resumption:
    """What to ask the new engine for, and what of it the caller has already."""

    request: GenerationRequest
    known: tuple[int, ...]
    """Tokens that the new answer begins with; if it does not, it is another answer."""


def resume(request: GenerationRequest, told: Sequence[int], *, exact: bool) -> Resumption:
    """The rest of an answer of which `told` was handed out.

    An exact engine says the same again: it is asked anew, and what is known is left out. Another
    one may choose other words, which would not fit what was told; it goes on behind that instead.
    Where that would be another request (a grammar that is half done, penalties that count only
    generated tokens), it too is asked anew, and held to what was told.
    """
    starts_over = exact or request.grammar or request.presence_penalty or request.frequency_penalty
    if starts_over or not told:
        return Resumption(request, tuple(told))
    rest = replace(
        request,
        prompt=(*request.prompt, *told),
        max_new_tokens=request.max_new_tokens - len(told),
    )
    return Resumption(rest, ())
