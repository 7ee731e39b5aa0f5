"""Channels to other services: secret, trace context, and errors back as domain errors."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from modelmill_service_kit.errors import (
    DeadlineError,
    DomainError,
    UnavailableError,
    UnreachableError,
)
from modelmill_service_kit.grpc_server import MAX_MESSAGE_BYTES, TAKES_CALLS
from modelmill_service_kit.observed_channel import ObservedChannel
from modelmill_service_kit.ports import ALTERNATIVES, MAX_RECONNECT_SECONDS
from modelmill_service_kit.status import error_from_rpc, was_said_by_a_service

if TYPE_CHECKING:
    from modelmill_service_kit.mutual_tls import MutualTls

log = logging.getLogger(__name__)

WHY_NOT_BELIEVED = {
    "certificate has expired": "its certificate has expired. Renew it",
    "certificate is not yet valid": "its certificate is not valid yet; are both clocks right?",
    "Hostname Verification Check failed": "its certificate is another service's",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not of our authority",
    "WRONG_VERSION_NUMBER": "it speaks without TLS",
}
"""What gRPC says of a peer that it turned away, and what that means here; the first one found."""

ANSWER_LOST = "Internal error from Core"
"""What gRPC's asyncio client says when it wrote behind the server's answer, and lost that."""


SERVICE_CONFIG = json.dumps({"healthCheckConfig": {"serviceName": TAKES_CALLS}})


def open_channel(
    target: str, secret: str, *, identity: "MutualTls | None" = None, peer: str = ""
) -> grpc.aio.Channel:
    """A channel that presents `secret` on every call and carries the current trace.

    Whoever says at its health that it takes no calls is passed over while another one does.

    Args:
        target: host:port; or several with | between them, at which a service and its successor are.
        identity: who calls; None speaks without TLS.
        peer: with an identity, the name that must be in the certificate of whoever answers.
    """
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A service that restarts is found again within a second, not after gRPC's default of 120,
        # and one that starts beside its caller at once.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", round(MAX_RECONNECT_SECONDS * 1000)),
        # A name may stand for several replicas, or for another address after a restart.
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.dns_min_time_between_resolutions_ms", 1000),
        # Another channel of this process may have seen a server end whose port has a new one.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.service_config", SERVICE_CONFIG),
    ]
    if ALTERNATIVES in target:
        target = f"ipv4:{target.replace(ALTERNATIVES, ',')}"
    if identity is None:
        channel = grpc.aio.insecure_channel(target, options=options)
    else:
        channel = identity.open_channel(target, peer, options)
    return ObservedChannel(channel, target, secret)


@contextmanager
def domain_errors(peer: str = "the service") -> Iterator[None]:
    """Within the block, a status that stands for a domain error is raised as that error.

    What gRPC itself says of a broken connection names addresses and ports; callers only hear that
    `peer` does not answer. CANCELLED is a server's that stops: it ends so what it has not taken up,
    and a call that its own caller cancels raises CancelledError here. Any other status that gRPC
    makes up itself is raised as it came.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        meant = _meant_by(error, peer)
        if meant is None:
            raise
        try:
            raise meant from error
        finally:
            del meant  # An error that a frame of its own traceback names is a cycle.


def _meant_by(error: grpc.aio.AioRpcError, peer: str) -> DomainError | None:
    if error.code() is grpc.StatusCode.CANCELLED:
        return UnavailableError(f"{peer} is stopping, and ended the call. Retry")
    if error.details() == ANSWER_LOST:
        return UnavailableError(f"{peer} ended a call that was being sent. Retry")
    refusal = error_from_rpc(error)
    if was_said_by_a_service(error):
        return refusal
    if isinstance(refusal, DeadlineError):
        return DeadlineError(f"{peer} did not answer in time")
    if isinstance(refusal, UnavailableError):
        _say_why_not_believed(peer, error)
        return UnreachableError(f"{peer} does not answer")
    return None


def _say_why_not_believed(peer: str, error: grpc.aio.AioRpcError) -> None:
    said = error.details() or ""
    for words, meaning in WHY_NOT_BELIEVED.items():
        if words in said:
            log.warning("%s answers, but is not believed: %s", peer, meaning)
            return
