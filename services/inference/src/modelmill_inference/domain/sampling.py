"""How a caller wants an answer to be drawn, and which desired states no model can follow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from modelmill_service_kit.errors import InvalidInputError

MAX_ANSWERS = 16
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MIN_TEMPERATURE = 0.001
"""Below it logits overflow when they are divided; 0 itself means greedy."""
MAX_TEMPERATURE = 100.0
MIN_TOP_P = 1e-6
MAX_PENALTY = 2.0
MIN_REPETITION_PENALTY = 0.01
MAX_REPETITION_PENALTY = 100.0
MAX_ALTERNATIVES = 20

ConstraintKind = Literal["json_schema", "regex", "choice", "call"]


class CallForm(NamedTuple):
    """Arguments by a schema, between what the model writes with them."""

    before: str
    schema: str
    behind: str


@dataclass(frozen=True, slots=True)
class OutputConstraint:
    """The form an answer must have, as the caller said it."""

    kind: ConstraintKind

    text: str = ""
    """The schema or the expression."""

    choices: tuple[str, ...] = ()

    calls: tuple[CallForm, ...] = ()
    """Calls to choose from; no caller says so itself, it demands a call of some tools."""


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How to sample and when to stop, as the caller said it."""

    max_new_tokens: int = 0
    """New tokens at most; 0 means what the context leaves."""

    temperature: float = 0.0
    """0 is greedy."""

    top_p: float = 1.0

    top_k: int = 0
    """0 means all."""

    presence_penalty: float = 0.0

    frequency_penalty: float = 0.0

    repetition_penalty: float = 1.0
    """1 changes nothing."""

    stop: tuple[str, ...] = ()
    """Texts that end the answer and are not part of it."""

    seed: int | None = None
    """Seed of sampling; None means a random one."""

    logprobs: int | None = None
    """Alternatives to name for each token; None: no log-probabilities."""

    constraint: OutputConstraint | None = None

    answers: int = 1
    """Answers wanted; the seeds count up."""


def check_options(options: SamplingOptions) -> None:
    """Refuse options that no model can follow.

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
