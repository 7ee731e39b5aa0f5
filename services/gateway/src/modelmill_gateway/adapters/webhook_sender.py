"""One request to somebody's endpoint: to an address that was checked, and nowhere else."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from modelmill_service_kit.breaker import retry_after_seconds

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.public_addresses import (
    TO_ALLOW_PRIVATE,
    Target,
    is_public,
    target_of,
)
from modelmill_gateway.domain.webhooks import DELIVERED, GONE, Reply

ANSWER_BYTES = 64 * 1024
"""As much of an answer is read, and thrown away."""
ADDRESSES_TRIED = 3
LOOKUP_THREADS = 32

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a host; raises OSError when it has none."""


class ForbiddenAddressError(Exception):
    """The host has an address that is not one of the public internet."""


@asynccontextmanager
async def threaded_lookups() -> AsyncIterator[Resolve]:
    """The system's resolver, in threads of its own: a slow name server holds up nobody else."""
    pool = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="webhook lookups")

    async def resolve(host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            pool, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    try:
        yield resolve
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class WebhookSender:
    """Sends over TLS 1.2 and later, without proxy, cookie or redirect.

    Args:
        allow_private: also http, and addresses that are not public.
        timeout: seconds for the whole request, the look-up of the name included.
        tls: trusts other authorities than the usual ones; for tests.
    """

    def __init__(
        self,
        resolve: Resolve,
        *,
        allow_private: bool,
        timeout: float = 10.0,
        connect_timeout: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._timeout = timeout
        self._waits = {"connect": connect_timeout, "read": timeout, "write": timeout, "pool": None}
        # A connection is never used twice: its certificate was checked for one name, and another
        # endpoint's name may have the same address.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        context = tls or httpx.create_ssl_context()
        self._transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def check(self, url: str) -> None:
        """Raise unless events may be sent there now.

        Raises:
            BadRequestError: the URL is not allowed, its host is unknown, or not a public one.
        """
        target = target_of(url, allow_private=self._allow_private)
        try:
            async with asyncio.timeout(self._timeout):
                await self._addresses(target)
        except ForbiddenAddressError:
            message = f"url: the host is not a public one. {TO_ALLOW_PRIVATE}"
            raise BadRequestError(message, param="url") from None
        except (OSError, UnicodeError, TimeoutError):
            raise BadRequestError("url: the host is not known", param="url") from None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send `body`; whatever goes wrong is a reply, too."""
        try:
            async with asyncio.timeout(self._timeout):
                target = target_of(url, allow_private=self._allow_private)
                return await self._to_one_of(await self._addresses(target), target, headers, body)
        except (ForbiddenAddressError, BadRequestError):
            return Reply("forbidden")
        except (TimeoutError, httpx.TimeoutException):
            return Reply("timeout")
        except (httpx.HTTPError, OSError, UnicodeError):
            return Reply("unreachable")

    async def _addresses(self, target: Target) -> list[str]:
        """Where the host is; looked up once, checked, and then used as it is."""
        found = await self._resolve(target.host, target.port)
        if not self._allow_private and not all(is_public(address) for address in found):
            raise ForbiddenAddressError
        if not found:
            raise OSError("no address")
        return found

    async def _to_one_of(
        self, addresses: list[str], target: Target, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        *others, last = addresses[:ADDRESSES_TRIED]
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._to(address, target, headers, body)
        return await self._to(last, target, headers, body)

    async def _to(
        self, address: str, target: Target, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        request = httpx.Request(
            "POST",
            httpx.URL(
                scheme=target.scheme, host=address, port=target.port, raw_path=target.path.encode()
            ),
            headers={"host": target.authority, **headers},
            content=body,
            # The name is what the certificate must be for; the address only says where it is.
            extensions={"sni_hostname": target.host, "timeout": self._waits},
        )
        response = await self._transport.handle_async_request(request)
        try:
            read = 0
            async for piece in response.stream:  # type: ignore[union-attr]
                read += len(piece)
                if read >= ANSWER_BYTES:
                    break
        finally:
            await response.aclose()
        return _reply(response)


def _reply(response: httpx.Response) -> Reply:
    status = response.status_code
    if 200 <= status < 300:
        return Reply(DELIVERED, status)
    if status == 410:
        return Reply(GONE, status)
    asked = retry_after_seconds(response.headers.get("retry-after"), datetime.now(UTC))
    return Reply("refused", status, asked)
