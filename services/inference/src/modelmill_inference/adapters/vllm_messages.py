"""Converts engine requests to bodies of vLLM's `/v1/completions`, and responses to pieces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_service_kit.errors import UnavailableError

from modelmill_inference.domain.generation import (
    ChosenToken,
    ContinuationScore,
    EngineCannotError,
    FinishReason,
    GenerationRequest,
    LikelyToken,
    TokenPiece,
)

MAX_TEMPERATURE = 2.0
"""vLLM's upper limit."""
MAX_ALTERNATIVES = 20
"""vLLM's default of `--max-logprobs`."""
MAX_TOKENS_ASKED = 128
"""Maximum of `logprob_token_ids` in one request."""
TOKEN_NAME = "token_id:"
"""Prefix of token ids that are JSON keys."""
SEEDS, SIGNED_SEEDS = 2**64, 2**63
NO_SEED, INSTEAD_OF_NO_SEED = -1, -2
"""vLLM treats -1 as no seed, so two of the 2^64 seeds share a sequence."""

_ENDS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


def completion_body(
    request: GenerationRequest, model: str, end_tokens: frozenset[int], cache_salt: str
) -> dict[str, Any]:
    """Body of a streamed generation; all parameters are set, so that no server default applies.

    Raises:
        EngineCannotError: the temperature exceeds vLLM's limit.
    """
    if request.temperature > MAX_TEMPERATURE:
        raise EngineCannotError(
            f"the engine of this model takes temperatures up to {MAX_TEMPERATURE:g}"
        )
    body = _plain_body(model, request.prompt, cache_salt) | {
        "stream": True,
        "max_tokens": request.max_new_tokens,
        "stop_token_ids": sorted(end_tokens),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "repetition_penalty": request.repetition_penalty,
        "seed": _signed(request.seed),
    }
    if request.logprobs is not None:
        body["logprobs"] = request.logprobs
    if request.grammar:
        body["structured_outputs"] = {"grammar": request.grammar}
    return body


def piece_of(event: Mapping[str, Any], alternatives: int) -> TokenPiece | None:
    """Convert a stream event to a piece; None if it has no tokens.

    Args:
        alternatives: maximum per token; the API returns the token itself in addition.

    Raises:
        UnavailableError: the server aborted the request.
    """
    choices = event["choices"]
    if not choices:
        return None
    choice = choices[0]
    tokens, end = tuple(choice.get("token_ids") or ()), choice.get("finish_reason")
    if end is not None and end not in _ENDS:
        raise UnavailableError("the vLLM server aborted the request. Retry")
    if not tokens and end is None:
        return None
    chosen = _chosen(choice.get("logprobs"), alternatives)
    return TokenPiece(tokens, None if end is None else _ENDS[end], chosen)


@dataclass(frozen=True, slots=True)
class NextTokens:
    """Candidates for one token position."""

    likeliest: int
    logprobs: Mapping[int, float]
    """Log-probabilities of the requested tokens."""


def next_body(
    prompt: Sequence[int], tokens: Sequence[int], model: str, cache_salt: str
) -> dict[str, Any]:
    """Body of a request for the log-probability of each of `tokens` after the prompt.

    `prompt_logprobs` would also return them, but bypasses the prefix cache, needs space for one
    more token, and crashes vLLM 0.32 on CPU with adapters, together with all running requests.
    """
    return _plain_body(model, prompt, cache_salt) | {
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": len(tokens),
        "logprob_token_ids": list(tokens),
    }


def next_of(answer: Mapping[str, Any], tokens: Sequence[int]) -> NextTokens:
    """Parse the response to `next_body`."""
    choice = answer["choices"][0]
    told = choice["logprobs"]["top_logprobs"][0]
    (likeliest,) = choice["token_ids"]
    return NextTokens(likeliest, {token: told[f"{TOKEN_NAME}{token}"] for token in tokens})


def score_of(
    continuation: Sequence[int], next_behind: Mapping[tuple[int, ...], NextTokens]
) -> ContinuationScore:
    """Score a continuation from the candidates after each of its prefixes."""
    places = [
        (next_behind[tuple(continuation[:place])], token)
        for place, token in enumerate(continuation)
    ]
    return ContinuationScore(
        sum(place.logprobs[token] for place, token in places),
        is_greedy=all(place.likeliest == token for place, token in places),
    )


def _plain_body(model: str, prompt: Sequence[int], cache_salt: str) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": list(prompt),
        "cache_salt": cache_salt,
        # Only our end tokens end an answer, whatever the model's files say.
        "ignore_eos": True,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "skip_special_tokens": False,
        "add_special_tokens": False,
    }


def _signed(seed: int) -> int:
    signed = seed - SEEDS if seed >= SIGNED_SEEDS else seed
    return INSTEAD_OF_NO_SEED if signed == NO_SEED else signed


def _chosen(told: Mapping[str, Any] | None, alternatives: int) -> tuple[ChosenToken, ...]:
    if told is None:
        return ()
    rows = zip(told["token_logprobs"], told["top_logprobs"], strict=True)
    return tuple(ChosenToken(logprob, _likeliest(names)[:alternatives]) for logprob, names in rows)


def _likeliest(names: Mapping[str, float]) -> tuple[LikelyToken, ...]:
    tokens = (
        LikelyToken(int(name.removeprefix(TOKEN_NAME)), logprob) for name, logprob in names.items()
    )
    return tuple(sorted(tokens, key=lambda token: -token.logprob))
