"""From what an engine's process said to the pieces that `engine.Engine` yields."""

from typing import Any

from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_inference.adapters.gathered_answer import News
from modelmill_inference.domain.generation import ChosenToken, FinishReason, LikelyToken, TokenPiece

_ENDS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


def piece_of(heard: News) -> TokenPiece:
    """The piece that some news make.

    Raises:
        PreconditionError: the engine gave the request up for want of room.
        InvalidInputError: the grammar allows nothing that the model could say next.
    """
    if heard.end == "dead_end":
        raise InvalidInputError("nothing that this model can say fits the constraint")
    if heard.end == "no_room":
        raise PreconditionError("the engine's cache has no room for a request of this size")
    finish_reason = None if heard.end is None else _ENDS[heard.end]
    return TokenPiece(tuple(heard.tokens), finish_reason, tuple(map(_chosen, heard.chosen)))


def _chosen(row: Any) -> ChosenToken:
    logprob, alternatives = row
    return ChosenToken(logprob, tuple(LikelyToken(*pair) for pair in alternatives))
