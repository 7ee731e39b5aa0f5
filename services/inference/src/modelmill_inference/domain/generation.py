"""Engine requests and responses, and the validation of requests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_inference.domain.sampling import SamplingOptions

FinishReason = Literal["stop", "length"]
AnswerReason = FinishReason | Literal["tool_calls"]
"""Finish reason of an answer, after parsing its text."""


class PromptTooLongError(InvalidInputError):
    """The prompt exceeds the context; the message names the limit."""

    reason = "PROMPT_TOO_LONG"


class EngineCannotError(PreconditionError):
    """The request is valid, but the model's engine lacks a requested feature."""

    reason = "ENGINE_CANNOT"


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Limits of a model."""

    context_tokens: int
    """Context size, for prompt and answer together."""

    vocabulary: int
    """Vocabulary size."""

    token_bytes: int = 0
    """Key-value cache per token, at two bytes per value; 0 if unknown."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """Optional features of an engine; all support sampling, penalties and seeds."""

    exact: bool = False
    """Whether an answer does not depend on the batch."""

    logprobs: int | None = None
    """Maximum alternatives per token; None for no log-probabilities."""

    grammar: bool = False
    """Whether it supports grammars."""

    score: bool = False
    embed: bool = False

    batches: bool = True
    """Whether requests share forward passes, so that many at once cost little more than one."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A validated engine request; by default greedy and unconstrained.

    The service creates it by `plan_generation` only.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 means all."""
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    logprobs: int | None = None
    """Alternatives per token; None for no log-probabilities."""
    grammar: str = ""
    """Validated EBNF for XGrammar; empty for none."""
    may_gather: bool = False
    """Whether tokens may be batched, because no stop text must end the answer early."""
    tenant: str = ""
    """Tenant, by which prefix caches are separated."""


@dataclass(frozen=True, slots=True)
class LikelyToken:
    """A token with its log-probability (natural logarithm)."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True)
class ChosenToken:
    """Log-probability of a generated token, and alternatives in order."""

    logprob: float
    alternatives: tuple[LikelyToken, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """New tokens of an engine."""

    tokens: tuple[int, ...]
    """Including end tokens."""

    finish_reason: FinishReason | None = None
    """Set on the last piece only: "stop" by an end token, "length" by the limit."""

    chosen: tuple[ChosenToken, ...] = ()
    """One per token, if requested."""

    accepted: int = 0
    """Of the tokens, those that were drafted and cost no step of their own."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Continuations of one prompt, validated: none is empty, and each fits the context."""

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    tenant: str = ""
    """See `GenerationRequest`."""


@dataclass(frozen=True, slots=True)
class ContinuationScore:
    """Log-likelihood of a continuation."""

    log_likelihood: float
    """Sum of the log-probabilities of its tokens."""

    is_greedy: bool
    """Whether greedy decoding gives this continuation."""


def check_prompt_length(characters: int, longest_token: int, limits: ModelLimits) -> None:
    """Reject a text that cannot fit, before tokenizing it.

    Raises:
        PromptTooLongError: it exceeds the limit even with the longest tokens.
    """
    fewest = math.ceil(characters / longest_token)
    if fewest > _prompt_limit(limits):
        raise PromptTooLongError(
            f"prompt has at least {fewest} tokens, the limit is {_prompt_limit(limits)}"
        )


def plan_generation(
    prompt: Sequence[int],
    options: SamplingOptions,
    limits: ModelLimits,
    abilities: Abilities,
    *,
    random_seed: int,
    grammar: str = "",
    tenant: str = "",
) -> GenerationRequest:
    """Validate and create a request, so that it cannot fail its batch.

    Args:
        random_seed: used without a seed in the options.
        grammar: compiled constraint of the options.

    Raises:
        PromptTooLongError: the prompt fills the context.
        InvalidInputError: the prompt is empty or has ids outside the vocabulary.
        EngineCannotError: the engine lacks a requested feature.
    """
    check_tokens(prompt, limits)
    _check_abilities(options, abilities)
    left = limits.context_tokens - len(prompt)
    return GenerationRequest(
        prompt=tuple(prompt),
        max_new_tokens=min(options.max_new_tokens or left, left),
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        repetition_penalty=options.repetition_penalty,
        seed=random_seed if options.seed is None else options.seed,
        logprobs=options.logprobs,
        grammar=grammar,
        may_gather=not options.stop,
        tenant=tenant,
    )


def plan_score(
    prompt: Sequence[int],
    continuations: Sequence[Sequence[int]],
    limits: ModelLimits,
    abilities: Abilities,
    *,
    tenant: str = "",
) -> ScoreRequest:
    """Validate and create a request for log-likelihoods.

    Raises:
        PromptTooLongError: prompt and a continuation together do not fit.
        InvalidInputError: nothing to score, or ids outside the vocabulary.
        EngineCannotError: the engine cannot score.
    """
    if not abilities.score:
        raise EngineCannotError("the engine of this model does not score texts")
    check_tokens(prompt, limits)
    if not continuations or not all(continuations):
        raise InvalidInputError("each continuation must have at least one token")
    longest = len(prompt) + max(map(len, continuations))
    if longest > limits.context_tokens:
        raise PromptTooLongError(
            f"prompt and continuation have {longest} tokens, the limit is {limits.context_tokens}"
        )
    for continuation in continuations:
        _check_vocabulary(continuation, limits)
    return ScoreRequest(tuple(prompt), tuple(map(tuple, continuations)), tenant)


def check_tokens(prompt: Sequence[int], limits: ModelLimits) -> None:
    """Raises InvalidInputError for a prompt that is empty, too long, or has unknown token ids."""
    if not prompt:
        raise InvalidInputError("prompt is empty")
    if len(prompt) > _prompt_limit(limits):
        raise PromptTooLongError(
            f"prompt has {len(prompt)} tokens, the limit is {_prompt_limit(limits)}"
        )
    _check_vocabulary(prompt, limits)


def _check_vocabulary(tokens: Sequence[int], limits: ModelLimits) -> None:
    outside = [token for token in tokens if not 0 <= token < limits.vocabulary]
    if outside:
        raise InvalidInputError(
            f"token {outside[0]} is not in the model's vocabulary, "
            f"which ends at {limits.vocabulary - 1}"
        )


def _check_abilities(options: SamplingOptions, abilities: Abilities) -> None:
    if options.constraint is not None and not abilities.grammar:
        raise EngineCannotError("the engine of this model cannot constrain answers")
    if options.logprobs is None:
        return
    if abilities.logprobs is None:
        raise EngineCannotError("the engine of this model returns no log-probabilities")
    if options.logprobs and not abilities.logprobs:
        raise EngineCannotError(
            "the engine of this model returns the log-probability of chosen tokens only. "
            "Set top_logprobs to 0"
        )
    if options.logprobs > abilities.logprobs:
        raise EngineCannotError(
            f"the engine of this model names at most {abilities.logprobs} alternatives of a token"
        )


def _prompt_limit(limits: ModelLimits) -> int:
    """One token is reserved for the answer."""
    return limits.context_tokens - 1
