"""What a generation is asked for, what engines take and give, and which requests they may see."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_inference.domain.sampling import SamplingOptions

FinishReason = Literal["stop", "length"]
AnswerReason = FinishReason | Literal["tool_calls"]
"""How an answer ended, once its text was read."""


class PromptTooLongError(InvalidInputError):
    """The prompt leaves no room for an answer; the message names the limit."""

    reason = "PROMPT_TOO_LONG"


class EngineCannotError(PreconditionError):
    """The request is right, but the engine that runs this model lacks what it asks for."""

    reason = "ENGINE_CANNOT"


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a model can take."""

    context_tokens: int
    """Prompt and answer together."""

    vocabulary: int
    """Token ids are below it."""

    token_bytes: int = 0
    """Keys and values of one token, at two bytes a number; 0 when it is not known."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an engine can do beside temperature, top-p, top-k, penalties and a seed."""

    exact: bool = False
    """The same request gives the same tokens, whatever else is in the batch."""

    logprobs: int | None = None
    """Alternatives at most that it can name for each token; None: it tells no probabilities."""

    grammar: bool = False
    """It can hold an answer to a grammar."""

    score: bool = False
    embed: bool = False


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request, as engines take it; by itself greedy and free.

    In the service only `plan_generation` makes them.
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
    """Alternatives of each token; None: no probabilities are wanted."""
    grammar: str = ""
    """EBNF as XGrammar reads it, checked; empty when the answer is free."""
    may_gather: bool = False
    """Tokens may be told later, together: nobody waits for a text that ends the answer."""
    tenant: str = ""
    """Whose request it is: an engine that can, keeps what it caches of prompts apart by it."""


@dataclass(frozen=True, slots=True)
class LikelyToken:
    """A token and the natural logarithm of its probability."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True)
class ChosenToken:
    """How likely a generated token was, and what could have stood there, likeliest first."""

    logprob: float
    alternatives: tuple[LikelyToken, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """What an engine generated since the piece before."""

    tokens: tuple[int, ...]
    """Those that end the answer included."""

    finish_reason: FinishReason | None = None
    """Set on the last piece only: "stop" by an end token, "length" by the limit."""

    chosen: tuple[ChosenToken, ...] = ()
    """One for each token, when they were asked for."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Continuations of one prompt; checked, none empty, each fits behind the prompt."""

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    tenant: str = ""
    """As of a generation."""


@dataclass(frozen=True, slots=True)
class ContinuationScore:
    """How likely a continuation is."""

    log_likelihood: float
    """Sum over its tokens of the natural logarithm of their probability."""

    is_greedy: bool
    """Each of its tokens is the likeliest at its place."""


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
    prompt: Sequence[int],
    options: SamplingOptions,
    limits: ModelLimits,
    abilities: Abilities,
    *,
    random_seed: int,
    grammar: str = "",
    tenant: str = "",
) -> GenerationRequest:
    """A request that an engine can run without harm to the others in its batch.

    Args:
        random_seed: taken when the caller gave none.
        grammar: what became of the options' constraint.

    Raises:
        PromptTooLongError: the prompt leaves no room for an answer.
        InvalidInputError: the prompt is empty or has ids outside the vocabulary.
        EngineCannotError: the engine lacks what the options ask for.
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
    """A request for log-likelihoods that an engine can run.

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
    """Refuse a prompt that is empty, too long or foreign to the vocabulary; InvalidInputError."""
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
        raise EngineCannotError("the engine of this model tells no log-probabilities")
    if options.logprobs and not abilities.logprobs:
        raise EngineCannotError(
            "the engine of this model tells how likely the chosen tokens are, and names no "
            "alternatives of them"
        )
    if options.logprobs > abilities.logprobs:
        raise EngineCannotError(
            f"the engine of this model names at most {abilities.logprobs} alternatives of a token"
        )


def _prompt_limit(limits: ModelLimits) -> int:
    """One token of the context is kept for the answer."""
    return limits.context_tokens - 1
