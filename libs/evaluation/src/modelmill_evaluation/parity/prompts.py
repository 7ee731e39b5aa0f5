"""Whether a form turns the golden conversations into the same token ids."""

from collections.abc import Callable

from modelmill_evaluation.parity.errors import (
    SPECIAL_TOKEN_MISSING,
    TEMPLATE_MISMATCH,
    TOKENIZER_MISMATCH,
    ParityError,
)
from modelmill_evaluation.parity.goldens import Golden, Goldens
from modelmill_evaluation.parity.taking import PromptTokenizer

AROUND = 24
"""Characters shown on each side of the first difference."""


def check_prompts(
    goldens: Goldens, tokenizer: PromptTokenizer, *, form: str, template: str | None = None
) -> None:
    """Accept a form whose prompts are, id for id, those of training.

    Args:
        form: Whose tokenizer it is, for the message.
        template: Digest of its chat templates, where it has them as files.

    Raises:
        ParityError: SPECIAL_TOKEN_MISSING, TEMPLATE_MISMATCH or TOKENIZER_MISMATCH; the first of
            them that explains what is seen.
    """
    # First: with a token in pieces every prompt differs, and the template would seem at fault.
    check_special_tokens(goldens, tokenizer.encode, form=form)
    if template is not None and template != goldens.template:
        raise ParityError(
            TEMPLATE_MISMATCH,
            f"the chat template of {form} has the digest {template}, training's {goldens.template}",
        )
    for golden in goldens.prompts:
        if not goldens.dated:
            _check_rendering(golden, tokenizer, form)
        ids = tokenizer.encode(golden.text)
        if ids != list(golden.prompt_ids):
            place = _first_difference(ids, golden.prompt_ids)
            raise ParityError(
                TOKENIZER_MISMATCH,
                f"{form} reads the golden prompt {golden.name!r} as other tokens from token "
                f"{place} on: {ids[place : place + 4]}, training as "
                f"{list(golden.prompt_ids[place : place + 4])}",
            )


def check_special_tokens(
    goldens: Goldens, encode: Callable[[str], list[int]], *, form: str
) -> None:
    """Accept a tokenizer whose `encode` reads every special token of training as that one token.

    Raises:
        ParityError: SPECIAL_TOKEN_MISSING, with the token and what it is read as.
    """
    for text, token in goldens.special_tokens.items():
        ids = encode(text)
        if ids != [token]:
            raise ParityError(
                SPECIAL_TOKEN_MISSING,
                f"{form} reads the special token {text!r} as {ids}, training as [{token}]",
            )


def _check_rendering(golden: Golden, tokenizer: PromptTokenizer, form: str) -> None:
    try:
        text = tokenizer.render(golden.messages, add_generation_prompt=True, tools=golden.tools)
    except Exception as error:  # a template is foreign code and refuses in its own ways
        raise ParityError(
            TEMPLATE_MISMATCH,
            f"the chat template of {form} refuses the golden prompt {golden.name!r}: {error}",
        ) from error
    if text != golden.text:
        place = _first_difference(text, golden.text)
        shown = slice(max(0, place - AROUND), place + AROUND)
        raise ParityError(
            TEMPLATE_MISMATCH,
            f"the chat template of {form} renders the golden prompt {golden.name!r} otherwise: "
            f"{text[shown]!r}, training's {golden.text[shown]!r}",
        )


def _first_difference(one: str | list[int], other: str | tuple[int, ...]) -> int:
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
