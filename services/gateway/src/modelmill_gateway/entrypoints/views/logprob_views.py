"""Log-probabilities of tokens as OpenAI's two routes show them."""

from collections.abc import Iterable
from typing import Any

from modelmill_gateway.domain.chat import TokenLogprob

LEAST_LOGPROB = -9999.0
"""What OpenAI says of a token that could not come; JSON has no infinity."""


def chat_logprobs(tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    """As chat shows them: for each token its text, its bytes, and what it stood before."""
    content = [
        {
            **_token(token.token, token.logprob),
            "top_logprobs": [_token(name, logprob) for name, logprob in token.alternatives],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}


class CompletionLogprobs:
    """As completions show them: lists side by side, with the place of each token in the text."""

    def __init__(self) -> None:
        self._offset = 0

    def of(self, tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
        """The tokens that come next."""
        shown: dict[str, list[Any]] = {
            "tokens": [],
            "token_logprobs": [],
            "top_logprobs": [],
            "text_offset": [],
        }
        for token in tokens:
            text = _text(token.token)
            shown["tokens"].append(text)
            shown["token_logprobs"].append(_bounded(token.logprob))
            alternatives = {_text(name): _bounded(logprob) for name, logprob in token.alternatives}
            shown["top_logprobs"].append(alternatives)
            shown["text_offset"].append(self._offset)
            self._offset += len(text)
        return shown


def _token(name: bytes, logprob: float) -> dict[str, Any]:
    return {"token": _text(name), "logprob": _bounded(logprob), "bytes": list(name)}


def _text(token: bytes) -> str:
    """A token's text; one that is part of a character only has the mark of what is none."""
    return token.decode("utf-8", "replace")


def _bounded(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)
