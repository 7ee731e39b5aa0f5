"""Whatever a caller may show to say who it is: an API key, or a token of an issuer."""

from typing import Protocol

from gateway.domain.access import Caller
from gateway.domain.api_keys import BEGINNING


class Keys(Protocol):
    """See `gateway.adapters.key_book.KeyBook`."""

    def caller(self, key: str) -> Caller: ...


class Tokens(Protocol):
    """See `gateway.adapters.tokens.TokenVerifier`."""

    async def verify(self, token: str) -> Caller: ...


class Credentials:
    """The verifier of both doors. How the text begins decides what it is taken for."""

    def __init__(self, keys: Keys, tokens: Tokens) -> None:
        self._keys = keys
        self._tokens = tokens

    async def verify(self, token: str) -> Caller:
        """The caller whom `token` names. Raises UnauthenticatedError."""
        if token.startswith(BEGINNING):
            return self._keys.caller(token)
        return await self._tokens.verify(token)
