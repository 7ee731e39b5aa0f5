"""Whether a job may still ask in the name of who ordered it."""

from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import KeyState
from modelmill.gateway.v1.gateway_jobs_pb2 import Authority
from service_kit.errors import NotFoundError, UnauthenticatedError

from gateway.domain.access import Caller


class Keys(Protocol):
    """See `gateway.adapters.key_book.KeyBook`."""

    def get(self, tenant: str, key_id: str) -> KeyState: ...
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
        scopes, models = frozenset(authority.scopes), frozenset(authority.models)
        only = authority.only_models
        if authority.key_id:
            key = self._key(tenant, authority.key_id)
            scopes &= frozenset(key.scopes)
            if key.models:
                models = models & frozenset(key.models) if only else frozenset(key.models)
                only = True
        return Caller(
            tenant=tenant,
            subject=authority.subject,
            scopes=scopes,
            key_id=authority.key_id,
            models=models if only else None,
        )

    def _key(self, tenant: str, key_id: str) -> KeyState:
        try:
            key = self._keys.get(tenant, key_id)
        except NotFoundError as error:
            raise UnauthenticatedError("the API key is gone") from error
        if not self._keys.counts(key_id):
            raise UnauthenticatedError("the API key is not valid any more")
        return key
