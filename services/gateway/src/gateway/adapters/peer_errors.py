"""What a peer's failure becomes for our callers: the peer's own words, or none but ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from service_kit.errors import DeadlineError, UnavailableError
from service_kit.status import error_from_rpc

_SAID_BY_A_SERVICE = re.compile(r"[A-Z][A-Z_]+: ")
"""How services begin a refusal; see `service_kit.grpc_server.DomainErrorInterceptor`."""


@contextmanager
def peer_errors(peer: str) -> Iterator[None]:
    """Within the block, a refusal by `peer` is raised as the domain error that it stands for.

    What gRPC itself says of a broken connection names addresses and ports; callers only hear that
    the peer does not answer.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        refusal = error_from_rpc(error)
        if refusal is None:
            raise
        if _SAID_BY_A_SERVICE.match(error.details() or ""):
            raise refusal from error
        if isinstance(refusal, DeadlineError):
            raise DeadlineError(f"{peer} did not answer in time") from error
        if isinstance(refusal, UnavailableError):
            raise UnavailableError(f"{peer} does not answer") from error
        raise
