"""Trying a model folder's chat template and tokenizer out before it comes in."""

from pathlib import Path

from modelmill_service_kit.errors import InvalidInputError

from modelmill_tokenization.bounded import LimitError, Limits
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.bounded.probes import PROBES


def try_tokenizer(folder: Path, limits: Limits | None = None) -> None:
    """Load, render, encode and decode with it, in a process that is bounded.

    Blocks for some tenths of a second. A template may refuse conversations with systems, tools or
    several turns, as those of good models do; it may not pass a limit on any.

    Raises:
        InvalidInputError: It cannot be loaded, takes not even the simplest conversation, or passes
            a limit; says on what.
    """
    on = "loading"
    try:
        tokenizer = BoundedTokenizer(folder, limits or Limits())
        try:
            for on in PROBES:
                tokenizer.probe(on)
        finally:
            tokenizer.close()
    except LimitError as error:
        raise InvalidInputError(
            f"the chat template or tokenizer {error.what} ({on}). Mend it and import again"
        ) from error
    except InvalidInputError as error:
        raise InvalidInputError(
            [f"the chat template or tokenizer cannot be used ({on}): {e}" for e in error.errors]
        ) from error
