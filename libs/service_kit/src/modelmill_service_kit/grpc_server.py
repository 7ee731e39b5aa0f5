"""A gRPC server as every service runs it: secret, deadlines, domain errors, health, drain."""

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from modelmill_service_kit.errors import (
    DiskFullError,
    DomainError,
    InvalidInputError,
    UnauthenticatedError,
    UnreadableRequestError,
)
from modelmill_service_kit.handler_interceptor import (
    CallerInterceptor,
    CallObserver,
    HandlerInterceptor,
)
from modelmill_service_kit.settings import ServiceSettings
from modelmill_service_kit.status import details_of, status_of, trailing_metadata


class LimitedLog:
    """Writes at most one warning in `seconds`, and how many it left out since the last one.

    Args:
        log: where the lines go.
        seconds: between two lines.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        log: logging.Logger,
        seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._next_at = float("-inf")
        self._left_out = 0

    def warning(self, message: str, *args: object) -> None:
        """Log it, or count it as left out."""
        now = self._clock()
        if now < self._next_at:
            self._left_out += 1
            return
        self._log.warning(f"{message} (%d more since the last such line)", *args, self._left_out)
        self._next_at, self._left_out = now + self._seconds, 0


if TYPE_CHECKING:
    from modelmill_service_kit.mutual_tls import MutualTls
    from modelmill_service_kit.process import Ending

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

LINGER_SECONDS = 5.0
PAUSE_SECONDS = 0.1
"""How long a server that refuses reads on for at most, and without hearing anything."""

UNTIL_ALL_ENDED = 1e7
"""A grace period in seconds that no server outlives; None would cut calls off at once."""


TAKES_CALLS = "modelmill.takes-calls"
"""What channels of ours watch at each address (gRFC A17): who is not SERVING it is passed over."""

VERSION_METADATA = "modelmill-version"
"""On answers to health checks: the release that the process runs."""


class _VersionedHealth(health.aio.HealthServicer):  # type: ignore[misc]
    """Health checks that are answered with the release."""

    def __init__(self) -> None:
        super().__init__()
        # Once: it is read from the disk.
        self._metadata = ((VERSION_METADATA, version("modelmill-service-kit")),)

    async def Check(self, request: Any, context: Any) -> Any:
        context.set_trailing_metadata(self._metadata)
        return await super().Check(request, context)


class DomainErrorInterceptor(HandlerInterceptor):
    """Turns domain errors into statuses, and lets no handler take half a stream for a whole one.

    An unknown error is a bug: it is logged whole and answered with INTERNAL and no details.
    """

    wraps_health = True

    def __init__(self) -> None:
        super().__init__()
        self._unreadable = LimitedLog(log)

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        try:
            yield
        except DomainError as error:
            if isinstance(error, UnreadableRequestError):
                self._unreadable.warning("unreadable request to %s refused", method)
            _refuse(context, error)
        except (grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except OSError as error:
            disk_full = DiskFullError.from_os_error(error)
            if disk_full is None:
                _report_bug(context, method)
            else:
                log.warning("%s: %s", method, disk_full)
                _refuse(context, disk_full)
        except Exception:
            _report_bug(context, method)

    @asynccontextmanager
    async def receiving(self, context: Any) -> AsyncIterator[None]:
        try:
            yield
        except (DomainError, OSError):
            await _let_sender_end(context)
            raise

    async def received(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Requests that end only when their sender says so.

        What a client sends also seems to end when the client leaves; the next read then brings the
        cancellation.
        """
        async for request in requests:
            yield request
        await context.read()


async def _let_sender_end(context: Any) -> None:
    """Read on until the sender ends or pauses, so that it hears why it was refused.

    gRPC's asyncio clients lose an answer that comes while they are sending, and make up INTERNAL:
    https://github.com/grpc/grpc/issues/36066
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while True:
                async with asyncio.timeout(PAUSE_SECONDS):
                    if await context.read() is grpc.aio.EOF:
                        return


def _refuse(context: Any, error: DomainError) -> None:
    """Answer with the error, once the handler has returned.

    `abort` would raise an error that the call keeps, and whose frames keep the call: a cycle of
    some fifty objects for the collector.
    """
    context.set_trailing_metadata(trailing_metadata(error))
    _end(context, status_of(error).grpc, details_of(error))


def _report_bug(context: Any, method: str) -> None:
    log.exception("unexpected error in %s", method)
    _end(context, grpc.StatusCode.INTERNAL, "INTERNAL: see the service's log")


def _end(context: Any, code: grpc.StatusCode, details: str) -> None:
    context.set_code(code)
    context.set_details(details)


class GateInterceptor(HandlerInterceptor):
    """Refuses a call that does not carry the shared secret, or that has no deadline."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._expected = f"Bearer {secret}".encode()

    @asynccontextmanager
    async def around(self, method: str, context: Any) -> AsyncIterator[None]:
        metadata = {key: value for key, value in context.invocation_metadata() or ()}
        given = str(metadata.get("authorization", "")).encode()
        if not hmac.compare_digest(given, self._expected):
            raise UnauthenticatedError("the service secret is missing or wrong")
        if context.time_remaining() is None:
            raise InvalidInputError(f"{method} was called without a deadline. Set a timeout")
        yield


class RpcServer:
    """A gRPC server with health; `serve` until the `async with` block ends, then drain.

    Args:
        address: host:port to listen on; port 0 takes a free one (see `port`).
        secret: what callers must present; None leaves authorization to the service (the gateway).
        drain_seconds: how long calls in hand may go on once the block ends.
        credentials: what TLS is served with; None serves without.
        callers: names, one of which must be in a caller's certificate; None asks for none.
        ready: what health says from the start; otherwise NOT_SERVING until `set_ready`.
        takes_calls_unready: calls are answered, if late, also while health says NOT_SERVING.
        shares_port: other processes of the same service listen at the same address, too; without it
            a taken port is an error.
    """

    def __init__(
        self,
        address: str,
        secret: str | None,
        *,
        drain_seconds: float = 10.0,
        credentials: grpc.ServerCredentials | None = None,
        callers: Collection[str] | None = None,
        ready: bool = True,
        takes_calls_unready: bool = False,
        shares_port: bool = False,
    ) -> None:
        interceptors: list[grpc.aio.ServerInterceptor] = [
            CallObserver(),
            DomainErrorInterceptor(),
        ]
        if secret is not None:
            interceptors.append(GateInterceptor(secret))
        if callers is not None:
            interceptors.append(CallerInterceptor(callers))
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", int(shares_port)),
            # Clients look a name up again when a connection ends: new replicas are found that way.
            ("grpc.max_connection_age_ms", 30_000),
            ("grpc.max_connection_age_grace_ms", 600_000),
        ]
        self.grpc = grpc.aio.server(interceptors=interceptors, options=options)
        self.port = 0
        self._address = address
        self._credentials = credentials
        self._drain_seconds = drain_seconds
        self._ending: Ending | None = None
        self._ready = ready
        self._takes_calls_unready = takes_calls_unready
        self._health = _VersionedHealth()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)

    @classmethod
    def for_services(
        cls,
        settings: ServiceSettings,
        identity: "MutualTls | None",
        *,
        callers: Collection[str],
        ready: bool = True,
        takes_calls_unready: bool = False,
    ) -> "RpcServer":
        """A server for other services, behind the secret.

        Args:
            identity: who serves; None serves without TLS, and cannot tell callers apart.
            callers: services that may call it, by the names in their certificates.
            ready, takes_calls_unready: as of the constructor.
        """
        return cls(
            settings.grpc_address,
            settings.service_secret.get_secret_value(),
            drain_seconds=settings.drain_seconds,
            credentials=identity.server_credentials() if identity else None,
            callers=callers if identity else None,
            ready=ready,
            takes_calls_unready=takes_calls_unready,
        )

    async def __aenter__(self) -> "RpcServer":
        # gRPC reports a taken port as a bare RuntimeError; OSError is what callers expect.
        try:
            self.port = self._add_port()
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: is the port taken?") from error
        await self.set_ready(self._ready)
        await self.grpc.start()
        return self

    async def give_notice(self, ending: "Ending") -> None:
        """Say for good that no more calls are taken, and answer who has not heard of it yet."""
        self._ending = ending
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(ending.notice_seconds)

    async def __aexit__(self, *_: object) -> None:
        await self._health.enter_graceful_shutdown()
        if self._ending is None:
            await self.grpc.stop(grace=self._drain_seconds)
            return
        # Without a deadline of its own: gRPC crashes when that passes while another stop ends.
        stopping = asyncio.create_task(self.grpc.stop(grace=UNTIL_ALL_ENDED))
        if not await self._ending.wait_for(stopping):
            await self.grpc.stop(grace=None)
        await stopping

    def _add_port(self) -> int:
        if self._credentials is None:
            return self.grpc.add_insecure_port(self._address)
        return self.grpc.add_secure_port(self._address, self._credentials)

    async def set_ready(self, ready: bool) -> None:
        """Answer SERVING or NOT_SERVING to health checks of the whole server."""
        taking = ready or self._takes_calls_unready
        for name, is_so in (("", ready), (TAKES_CALLS, taking)):
            await self._health.set(name, SERVING if is_so else NOT_SERVING)
