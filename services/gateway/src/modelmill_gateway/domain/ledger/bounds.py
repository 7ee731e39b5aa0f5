"""The most that a request can use, known before it is asked.

A token is at least one byte of UTF-8. What a chat template writes around turns and tools is bounded
by generous constants; JSON that a template writes anew may be longer than as it came.
"""

from collections.abc import Iterable, Sequence

from modelmill_gateway.domain.chat import ChatCall
from modelmill_gateway.domain.ledger.amounts import Amounts
from modelmill_gateway.domain.ledger.prices import Price

PROMPT_TOKENS = 256
"""Of a template's own words, a system turn of its own among them."""
TURN_TOKENS = 32
TOOL_TOKENS = 64
JSON_AGAIN = 4
"""A schema written with indents is at most so many times as long as without."""
TEXT_TOKENS = 8
"""Of a text to be embedded: where it begins and ends."""


def prompt_bound(call: ChatCall) -> int:
    """Tokens that the prompt has at most."""
    if call.raw:
        return TEXT_TOKENS + _bytes(turn.content for turn in call.turns)
    tokens = PROMPT_TOKENS + _bytes(turn.content for turn in call.turns)
    tokens += TURN_TOKENS * len(call.turns)
    for turn in call.turns:
        for made in turn.calls:
            tokens += TOOL_TOKENS + _bytes((made.id, made.name))
            tokens += JSON_AGAIN * _bytes((made.arguments,))
        tokens += _bytes((turn.tool_call_id,))
    for tool in call.tools:
        tokens += TOOL_TOKENS + JSON_AGAIN * _bytes((tool.name, tool.description, tool.parameters))
    return tokens


def texts_bound(texts: Sequence[str]) -> int:
    """Tokens that texts have at most, each on its own."""
    return TEXT_TOKENS * len(texts) + _bytes(texts)


def need(prompt_tokens: int, answer_tokens: int, price: Price) -> Amounts:
    """What one request needs of each limit."""
    tokens = prompt_tokens + answer_tokens
    return Amounts(1, tokens, 1, tokens, price.cost(prompt_tokens, answer_tokens))


def _bytes(texts: Iterable[str]) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
