"""What a generation is asked for, what it yields, and which requests an engine may see."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service_kit.errors import InvalidInputError

FinishReason = Literal["stop", "length"]


class PromptTooLongError(InvalidInputError):
    """The prompt leaves no room for an answer; the message names the limit."""

    reason = "PROMPT_TOO_LONG"


MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MIN_TEMPERATURE = 0.001
"""Below it logits overflow when they are divided; 0 itself means greedy."""
MAX_TEMPERATURE = 100.0
MIN_TOP_P = 1e-6


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How to sample and when to stop, as the caller said it."""

    max_new_tokens: int = 0
    """New tokens at most; 0 means what the context leaves."""

    temperature: float = 0.0
    """0 is greedy."""

    top_p: float = 1.0

    stop: tuple[str, ...] = ()
    """Texts that end the answer and are not part of it."""

    seed: int | None = None
    """Seed of sampling; None means a random one."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a model can take."""

    context_tokens: int
    """Prompt and answer together."""

    vocabulary: int
    """Token ids are below it."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request, as engines take it. Only `plan_generation` makes them."""

    prompt: tuple[int, ...]
    max_new_tokens: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class TextPiece:
    """What an engine generated since the piece before."""

    text: str
    """Whole characters, no special tokens; may be empty while something is held back."""

    tokens: int
    """Tokens generated, those that end the answer included."""

    finish_reason: FinishReason | None = None
    """Set on the last piece only: "stop" by an end token or a stop text, "length" by the limit."""


def check_options(options: SamplingOptions) -> None:
    """Refuse options that no model can follow.

    Raises:
        InvalidInputError: lists everything that is wrong.
    """
    errors = [*_sampling_errors(options), *_stop_errors(options.stop)]
    if errors:
        raise InvalidInputError(errors)


def _sampling_errors(options: SamplingOptions) -> list[str]:
    errors = []
    if options.max_new_tokens < 0:
        errors.append(f"max_new_tokens must be at least 1, got {options.max_new_tokens}")
    temperature = options.temperature
    if temperature != 0 and not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:
        errors.append(
            f"temperature must be 0 or from {MIN_TEMPERATURE} to {MAX_TEMPERATURE:g}, "
            f"got {temperature:g}"
        )
    # Comparisons with NaN are false, so both conditions refuse it.
    if not MIN_TOP_P <= options.top_p <= 1:
        errors.append(f"top_p must be above 0 and at most 1, got {options.top_p:g}")
    if options.seed is not None and not 0 <= options.seed < 2**64:
        errors.append(f"seed must be from 0 to 2^64-1, got {options.seed}")
    return errors


def _stop_errors(stop: Sequence[str]) -> list[str]:
    if len(stop) > MAX_STOPS:
        return [f"at most {MAX_STOPS} stop texts are allowed, got {len(stop)}"]
    if all(1 <= len(text) <= MAX_STOP_CHARACTERS for text in stop):
        return []
    return [f"a stop text has 1 to {MAX_STOP_CHARACTERS} characters"]


def check_prompt_length(characters: int, longest_token: int, limits: ModelLimits) -> None:
    """Refuse a text that cannot fit, before time is spent on encoding it.

    Raises:
        PromptTooLongError: even in the longest tokens it is over the limit.
    """
    fewest = math.ceil(characters / longest_token)
    if fewest > _prompt_limit(limits):
        raise PromptTooLongError(
            f"prompt has at least {fewest} tokens, the limit is {_prompt_limit(limits)}"
        )


def plan_generation(
    prompt: Sequence[int], options: SamplingOptions, limits: ModelLimits, *, random_seed: int
) -> GenerationRequest:
    """A request that an engine can run without harm to the others in its batch.

    Args:
        random_seed: taken when the caller gave none.

    Raises:
        PromptTooLongError: the prompt leaves no room for an answer.
        InvalidInputError: the prompt is empty or has ids outside the vocabulary.
    """
    if not prompt:
        raise InvalidInputError("prompt is empty")
    if len(prompt) > _prompt_limit(limits):
        raise PromptTooLongError(
            f"prompt has {len(prompt)} tokens, the limit is {_prompt_limit(limits)}"
        )
    outside = [token for token in prompt if not 0 <= token < limits.vocabulary]
    if outside:
        raise InvalidInputError(
            f"prompt has token {outside[0]}, the model's vocabulary ends at {limits.vocabulary - 1}"
        )
    left = limits.context_tokens - len(prompt)
    return GenerationRequest(
        prompt=tuple(prompt),
        max_new_tokens=min(options.max_new_tokens or left, left),
        temperature=options.temperature,
        top_p=options.top_p,
        stop=options.stop,
        seed=random_seed if options.seed is None else options.seed,
    )


def _prompt_limit(limits: ModelLimits) -> int:
    """One token of the context is kept for the answer."""
    return limits.context_tokens - 1
