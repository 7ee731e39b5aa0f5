"""Sampling options of a request, and their validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from modelmill_service_kit.errors import InvalidInputError

MAX_ANSWERS = 16
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MIN_TEMPERATURE = 0.001
"""Below it logits overflow; 0 is greedy."""
MAX_TEMPERATURE = 100.0
MIN_TOP_P = 1e-6
MAX_PENALTY = 2.0
MIN_REPETITION_PENALTY = 0.01
MAX_REPETITION_PENALTY = 100.0
MAX_ALTERNATIVES = 20

ConstraintKind = Literal["json_schema", "regex", "choice", "call"]


class CallForm(NamedTuple):
    """JSON schema of arguments, with the text around them."""

    before: str
    schema: str
    behind: str


@dataclass(frozen=True, slots=True)
class OutputConstraint:
    """Required format of an answer, as requested."""

    kind: ConstraintKind

    text: str = ""
    """JSON schema or regular expression."""

    choices: tuple[str, ...] = ()

    calls: tuple[CallForm, ...] = ()
    """Calls to choose from; set internally for a forced tool call."""


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """Sampling and stop options, as requested."""

    max_new_tokens: int = 0
    """Maximum new tokens; 0 for the rest of the context."""

    temperature: float = 0.0
    """0 is greedy."""

    top_p: float = 1.0

    top_k: int = 0
    """0 means all."""

    presence_penalty: float = 0.0

    frequency_penalty: float = 0.0

    repetition_penalty: float = 1.0
    """1 for none."""

    stop: tuple[str, ...] = ()
    """Stop texts, which are not part of the answer."""

    seed: int | None = None
    """Sampling seed; None for a random one."""

    logprobs: int | None = None
    """Alternatives per token; None for no log-probabilities."""

    constraint: OutputConstraint | None = None

    answers: int = 1
    """Number of answers, with consecutive seeds."""


def check_options(options: SamplingOptions) -> None:
    """Validate options.

    Raises:
        InvalidInputError: lists everything that is wrong.
    """
    errors = [*_sampling_errors(options), *_penalty_errors(options), *_stop_errors(options.stop)]
    if errors:
        raise InvalidInputError(errors)


def _sampling_errors(options: SamplingOptions) -> Iterator[str]:
    if options.max_new_tokens < 0:
        yield f"max_new_tokens must be at least 1, got {options.max_new_tokens}"
    temperature = options.temperature
    if temperature != 0 and not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:
        yield (
            f"temperature must be 0 or from {MIN_TEMPERATURE} to {MAX_TEMPERATURE:g}, "
            f"got {temperature:g}"
        )
    # Comparisons with NaN are false, so these conditions refuse it.
    if not MIN_TOP_P <= options.top_p <= 1:
        yield f"top_p must be above 0 and at most 1, got {options.top_p:g}"
    if options.top_k < 0:
        yield f"top_k must be at least 1, got {options.top_k}"
    if options.seed is not None and not 0 <= options.seed < 2**64:
        yield f"seed must be from 0 to 2^64-1, got {options.seed}"
    if options.logprobs is not None and not 0 <= options.logprobs <= MAX_ALTERNATIVES:
        yield f"logprobs must be from 0 to {MAX_ALTERNATIVES}, got {options.logprobs}"
    if not 1 <= options.answers <= MAX_ANSWERS:
        yield f"answers must be from 1 to {MAX_ANSWERS}, got {options.answers}"


def _penalty_errors(options: SamplingOptions) -> Iterator[str]:
    penalties = {
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
    }
    for name, penalty in penalties.items():
        if not -MAX_PENALTY <= penalty <= MAX_PENALTY:
            yield f"{name} must be from -{MAX_PENALTY:g} to {MAX_PENALTY:g}, got {penalty:g}"
    if not MIN_REPETITION_PENALTY <= options.repetition_penalty <= MAX_REPETITION_PENALTY:
        yield (
            f"repetition_penalty must be from {MIN_REPETITION_PENALTY:g} to "
            f"{MAX_REPETITION_PENALTY:g}, got {options.repetition_penalty:g}"
        )


def _stop_errors(stop: Sequence[str]) -> Iterator[str]:
    if len(stop) > MAX_STOPS:
        yield f"at most {MAX_STOPS} stop texts are allowed, got {len(stop)}"
    elif not all(1 <= len(text) <= MAX_STOP_CHARACTERS for text in stop):
        yield f"a stop text has 1 to {MAX_STOP_CHARACTERS} characters"
