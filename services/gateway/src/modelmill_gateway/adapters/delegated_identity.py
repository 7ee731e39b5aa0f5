"""Whether a job may still ask in the name of who ordered it."""

from dataclasses import replace
from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill.gateway.v1.gateway_jobs_pb2 import Authority
from modelmill_service_kit.errors import NotFoundError, UnauthenticatedError

from modelmill_gateway.domain.access import Caller


class Keys(Protocol):
    """See `modelmill_gateway.adapters.key_book.KeyBook`."""

    def get(self, tenant: str, key_id: str) -> KeyState: ...
    def caller_of(self, state: KeyState) -> Caller: ...
    def counts(self, key_id: str) -> bool: ...


class StandingOfCallers:
    """What a caller may do later on: what it might when it ordered, as far as its key still may."""

    def __init__(self, keys: Keys) -> None:
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
            raise UnauthenticatedError("the API key is gone") from error
        if not self._keys.counts(key_id):
            raise UnauthenticatedError("the API key is not valid any more")
        return key
