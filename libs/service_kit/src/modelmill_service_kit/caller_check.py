"""Which services may call this one, by the names in their certificates."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from modelmill_service_kit.errors import PermissionDeniedError
from modelmill_service_kit.handler_interceptor import HandlerInterceptor


class CallerInterceptor(HandlerInterceptor):
    """Refuses a call from anybody but `callers`, although the authority vouches for its name.

    Args:
        callers: DNS names, one of which must be in the caller's certificate.
    """

    def __init__(self, callers: Collection[str]) -> None:
        super().__init__()
        self._callers = frozenset(name.encode() for name in callers)

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        # gRPC gives the certificate's alternative names, after its own check of the signature.
        if self._callers.isdisjoint(context.peer_identities() or ()):
            raise PermissionDeniedError(f"{method} is not for whom this certificate names")
        yield
