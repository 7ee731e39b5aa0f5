"""Channels to other services: secret, trace context, and errors back as domain errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from service_kit.errors import DeadlineError, UnavailableError
from service_kit.grpc_server import MAX_MESSAGE_BYTES
from service_kit.observed_channel import ObservedChannel
from service_kit.status import error_from_rpc, was_said_by_a_service


def open_channel(target: str, secret: str) -> grpc.aio.Channel:
    """A channel that presents `secret` on every call and carries the current trace."""
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A service that restarts is found again within a second, not after gRPC's default of 120.
        ("grpc.max_reconnect_backoff_ms", 1000),
        # A name may stand for several replicas, or for another address after a restart.
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ]
    return ObservedChannel(grpc.aio.insecure_channel(target, options=options), target, secret)


@contextmanager
def domain_errors(peer: str = "the service") -> Iterator[None]:
    """Within the block, a status that stands for a domain error is raised as that error.

    What gRPC itself says of a broken connection names addresses and ports; callers only hear that
    `peer` does not answer. Any other status that gRPC makes up itself is raised as it came.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        refusal = error_from_rpc(error)
        if refusal is None:
            raise
        if was_said_by_a_service(error):
            raise refusal from error
        if isinstance(refusal, DeadlineError):
            raise DeadlineError(f"{peer} did not answer in time") from error
        if isinstance(refusal, UnavailableError):
            raise UnavailableError(f"{peer} does not answer") from error
        raise
