"""Parity checks of a form: equal token ids of the golden conversations, and logits near enough."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from modelmill_evaluation.parity.goldens import (
    GREEDY_DISAGREES,
    LOGITS_DIFFER,
    SPECIAL_TOKEN_MISSING,
    TEMPLATE_MISMATCH,
    TOKENIZER_MISMATCH,
    Golden,
    Goldens,
    Logits,
    ParityError,
)
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


@dataclass(frozen=True)
class Likeness:
    """A form beside the goldens, every form reading the same continuations."""

    form: str
    positions: int
    """Positions that were compared."""
    largest_difference: float
    """Of one logit among the largest of each position, in the model's own unit."""
    largest_share: float
    """The same in standard deviations of the position's logits."""
    root_mean_square_share: float
    """Of all of them, in the same unit."""
    greedy_agreement: float
    """Share of positions at which the form's likeliest token is training's."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return asdict(self)

    def figures(self, prefix: str = "parity_") -> dict[str, float]:
        """What `model.ready` carries of it."""
        return {
            f"{prefix}largest_logit_difference": self.largest_difference,
            f"{prefix}largest_logit_share": self.largest_share,
            f"{prefix}greedy_agreement": self.greedy_agreement,
        }


@dataclass(frozen=True)
class Limit:
    """What a form may differ by."""

    largest_share: float
    """See `Likeness`; infinite for one that is judged by agreement alone."""
    greedy_agreement: float
    """The least."""
    root_mean_square_share: float = float("inf")


def compare(goldens: Goldens, rows: Iterable[Logits], *, form: str) -> Likeness:
    """Judge a form by its logits, (P, V) for each golden in turn.

    Raises:
        ValueError: There are no goldens, or not one row of logits for each position.
    """
    if not goldens.prompts:
        raise ValueError("there are no goldens to compare with")
    differences, shares, agreeing = [], [], 0
    for golden, logits in zip(goldens.prompts, rows, strict=True):
        difference = _differences(golden, logits)
        differences.append(difference.max())
        shares.append((difference / golden.logits.spreads[:, None]).ravel())
        agreeing += int((logits.argmax(axis=-1) == golden.greedy).sum())
    every = np.concatenate(shares)
    return Likeness(
        form=form,
        positions=goldens.positions,
        largest_difference=float(np.max(differences)),
        largest_share=float(every.max()),
        root_mean_square_share=float(np.sqrt(np.mean(np.square(every, dtype=np.float64)))),
        greedy_agreement=agreeing / goldens.positions,
    )


def check_likeness(likeness: Likeness, limit: Limit) -> None:
    """Accept a form that differs by no more than `limit`.

    Raises:
        ParityError: LOGITS_DIFFER or GREEDY_DISAGREES, with the figure and the limit.
    """
    sizes: Mapping[str, tuple[float, float]] = {
        "at most": (likeness.largest_share, limit.largest_share),
        "in the root mean square": (likeness.root_mean_square_share, limit.root_mean_square_share),
    }
    for words, (size, most) in sizes.items():
        # Written so that a NaN is refused too.
        if not size <= most:
            raise ParityError(
                LOGITS_DIFFER,
                f"the logits of {likeness.form} differ from training's by {size:.4g} standard "
                f"deviations {words}, more than {most:g}",
            )
    if likeness.greedy_agreement < limit.greedy_agreement:
        raise ParityError(
            GREEDY_DISAGREES,
            f"{likeness.form} chooses training's token at {likeness.greedy_agreement:.1%} of "
            f"{likeness.positions} golden positions, less than {limit.greedy_agreement:.0%}",
        )


def _differences(golden: Golden, logits: Logits) -> Logits:
    if len(logits) != len(golden.continuation):
        raise ValueError(f"{len(logits)} rows of logits for {len(golden.continuation)} positions")
    kept = np.take_along_axis(logits, golden.logits.ids.astype(np.int64), axis=-1)
    difference: Logits = np.abs(kept - golden.logits.values)
    return difference
