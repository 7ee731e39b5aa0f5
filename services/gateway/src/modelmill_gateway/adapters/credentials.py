"""Whatever a caller may show to say who it is: an API key, or a token of an issuer."""

from contextlib import AbstractContextManager
from typing import Protocol

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.api_keys import BEGINNING
from modelmill_gateway.domain.requests_in_hand import RequestInHand, RequestsInHand


class Keys(Protocol):
    """See `modelmill_gateway.adapters.key_book.KeyBook`."""

    def caller(self, key: str) -> Caller: ...


class Tokens(Protocol):
    """See `modelmill_gateway.adapters.tokens.TokenVerifier`."""

    async def verify(self, token: str) -> Caller: ...


class Credentials:
    """The verifier of both doors. How the text begins decides what it is taken for."""

    def __init__(self, keys: Keys, tokens: Tokens, in_hand: RequestsInHand) -> None:
        self._keys = keys
        self._tokens = tokens
        self._in_hand = in_hand

    async def verify(self, token: str) -> Caller:
        """The caller whom `token` names. Raises UnauthenticatedError."""
        if token.startswith(BEGINNING):
            return self._keys.caller(token)
        return await self._tokens.verify(token)

    def holding(self, key_id: str) -> AbstractContextManager[RequestInHand]:
        """Within the block a request of the key is answered, which ends with it: KeyEndedError."""
        return self._in_hand.holding(key_id)
