"""Credentials: who calls, who may still be asked for later, and whose requests have to end."""

import asyncio
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill.gateway.v1.gateway_jobs_pb2 import Authority
from modelmill_service_kit.errors import NotFoundError, UnauthenticatedError

from modelmill_gateway.domain.access import BEGINNING, Caller
from modelmill_gateway.domain.request_context import RequestInHand, RequestsInHand
from modelmill_gateway.identity.key_book import KeyBook
from modelmill_gateway.tenants.tenant_book import TenantBook


class Tokens(Protocol):
    """See `modelmill_gateway.adapters.tokens.TokenVerifier`."""

    async def verify(self, token: str) -> Caller: ...


class Credentials:
    """Authentication for both servers; its prefix tells an API key from a token."""

    def __init__(
        self, keys: KeyBook, tokens: Tokens, in_hand: RequestsInHand, tenants: TenantBook
    ) -> None:
        self._keys = keys
        self._tenants = tenants
        self._tokens = tokens
        self._in_hand = in_hand

    async def verify(self, token: str) -> Caller:
        """The caller whom `token` names.

        Raises:
            UnauthenticatedError: it is no token or key that counts.
            TenantSuspendedError: it is one of a suspended tenant's.
        """
        is_key = token.startswith(BEGINNING)
        caller = self._keys.caller(token) if is_key else await self._tokens.verify(token)
        self._tenants.require_active(caller.tenant)
        return caller

    def holding(self, key_id: str) -> AbstractContextManager[RequestInHand]:
        """Within the block a request of the key is answered, which ends with it: KeyEndedError."""
        return self._in_hand.holding(key_id)


class DelegatedIdentity:
    """Delegated identity: what a caller may do later, at most what its key still may."""

    def __init__(self, keys: KeyBook) -> None:
        self._keys = keys

    def caller_of(self, authority: Authority, tenant: str) -> Caller:
        """The caller, as its requests are answered.

        Raises:
            UnauthenticatedError: its key was revoked, or has expired.
        """
        scopes = frozenset(authority.scopes)
        models = frozenset(authority.models) if authority.only_models else None
        caller = Caller(tenant, authority.subject, scopes, authority.key_id, models)
        if not authority.key_id:
            return caller
        now = self._keys.caller_of(self._key(tenant, authority.key_id))
        if now.models is not None:
            models = now.models if models is None else models & now.models
        return replace(
            caller,
            scopes=scopes & now.scopes,
            models=models,
            makers=now.makers,
            limited=now.limited,
        )

    def _key(self, tenant: str, key_id: str) -> KeyState:
        try:
            key = self._keys.get(tenant, key_id)
        except NotFoundError as error:
            raise UnauthenticatedError("the API key was deleted") from error
        if not self._keys.counts(key_id):
            raise UnauthenticatedError("the API key is not valid any more")
        return key


LOOK_SECONDS = 0.25


class EndRequests:
    """Periodic check that ends requests in hand whose key has ended, whatever ended it.

    A revocation, an end that came or was moved nearer, a key that made this one: one rule for all,
    a fraction of a second late.
    """

    def __init__(self, keys: KeyBook, in_hand: RequestsInHand) -> None:
        self._keys = keys
        self._in_hand = in_hand

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """End what has to end now."""
        for key_id in self._in_hand.keys:
            if not self._keys.counts(key_id):
                self._in_hand.end(key_id)
