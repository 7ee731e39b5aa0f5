"""How a call goes to the gateway and comes back: retries, errors, pages, files and streams."""

import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar, cast

import httpx

from modelmill_client import types
from modelmill_client._async_io import sleep
from modelmill_client.errors import ApiStatusError, ConnectionFailedError, ModelmillError
from modelmill_client.wire import (
    IDEMPOTENT,
    PAGE,
    Address,
    Content,
    EventParser,
    Patience,
    Retries,
    is_last,
    key_header,
    opened,
    present,
    refusal,
    unreachable,
    whole_file,
)

ResultT = TypeVar("ResultT")
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For addresses without TLS: reading those of the web takes longer than most calls."""


class AsyncTransport:
    """The connections to one gateway, and how calls use them."""

    def __init__(
        self,
        address: Address,
        http: httpx.AsyncClient,
        *,
        timeout: float | httpx.Timeout,
        retries: Retries,
    ) -> None:
        self.address = address
        self.http = http
        self.timeout = timeout
        self.retries = retries

    @classmethod
    def connect(
        cls,
        address: Address,
        *,
        timeout: float | httpx.Timeout,
        retries: Retries,
        verify: ssl.SSLContext | bool,
        transport: httpx.AsyncBaseTransport | None,
    ) -> "AsyncTransport":
        """Connections are made when they are used first."""
        trusted = verify if httpx.URL(address.url).scheme == "https" else NO_AUTHORITIES
        http = httpx.AsyncClient(base_url=address.url, verify=trusted, transport=transport)
        return cls(address, http, timeout=timeout, retries=retries)

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        may_repeat: bool | None = None,
    ) -> Any:
        """The JSON that the gateway answers.

        Args:
            may_repeat: whether it does no harm twice, where method and key do not tell.

        Raises:
            ApiStatusError: the gateway refused.
            ConnectionFailedError: it did not answer.
            ModelmillError: the answer is no JSON.
        """
        headers = key_header(idempotency_key)
        once = partial(self._send, method, path, headers=headers, json=json, params=params)
        if may_repeat is None:
            may_repeat = method in IDEMPOTENT or bool(idempotency_key)
        response = await self._repeated(once, may_repeat)
        try:
            return response.json()
        except ValueError as error:
            raise ModelmillError(
                f"{self.address.url} answered {method} {path} with no JSON. Is it a gateway?"
            ) from error

    async def each(
        self, path: str, *, after: str | None = None, page_size: int = PAGE, **filters: Any
    ) -> AsyncIterator[Any]:
        """Every item of a list behind `after`, page by page as it is read."""
        while True:
            params = present({**filters, "limit": page_size, "after": after})
            page = await self.call("GET", path, params=params)
            for item in page["data"]:
                yield item
            if not page.get("has_more"):
                return
            after = page["data"][-1]["id"]

    async def upload(
        self, path: str, field: str, content: Content, name: str | None, **fields: str
    ) -> Any:
        """Send a file as it is read. It is never repeated: the gateway knows no key for it."""
        with opened(content, name) as (file_name, file):
            response = await self._send("POST", path, files={field: (file_name, file)}, data=fields)
        return response.json()

    async def content(self, path: str, **params: Any) -> bytes:
        """An answer as it is."""
        once = partial(self._send, "GET", path, params=present(params))
        response = await self._repeated(once, True)
        return response.content

    async def download(self, path: str, target: str | os.PathLike[str], **params: Any) -> None:
        """Write an answer to a file, whole or not at all."""
        await self._repeated(partial(self._download_once, path, target, present(params)), True)

    async def _download_once(
        self, path: str, target: str | os.PathLike[str], params: dict[str, Any]
    ) -> None:
        async with self.stream(path, params=params) as response:
            with whole_file(target) as file:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        silence_seconds: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """An answer that comes bit by bit.

        Args:
            silence_seconds: how long it may be quiet, where that is not the client's timeout.

        Raises:
            ApiStatusError: the gateway refused.
            ConnectionFailedError: it did not answer, or broke off; what came so far is good.
        """
        timeout = httpx.Timeout(self.timeout)
        if silence_seconds is not None:
            timeout.read = silence_seconds
        sent = self._authorization() | dict(headers or {})
        try:
            async with self.http.stream(
                "GET", path, params=params, headers=sent, timeout=timeout
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise refusal(response)
                yield response
        except httpx.RequestError as error:
            raise unreachable(error, self.address.url) from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        sent = self._authorization() | dict(headers or {})
        try:
            response = await self.http.request(
                method, path, headers=sent, timeout=self.timeout, **body
            )
        except httpx.RequestError as error:
            raise unreachable(error, self.address.url) from error
        if not response.is_success:
            raise refusal(response)
        return response

    def _authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.address.current_token()}"}

    async def _repeated(self, once: Callable[[], Awaitable[ResultT]], may_repeat: bool) -> ResultT:
        attempt = 0
        while True:
            try:
                return await once()
            except (ApiStatusError, ConnectionFailedError) as failure:
                wait = self.retries.wait_after(attempt, failure) if may_repeat else None
                if wait is None:
                    raise
            attempt += 1
            await sleep(wait)


class AsyncResource:
    """What one part of the API does."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport


class AsyncJobStream:
    """The events of a job, each once, over any number of connections.

    It ends where the gateway ends it: a job that failed may have been resumed, and goes on then
    after the event of its failure.

    Args:
        patience_seconds: how long the gateway may be away.
        silence_seconds: after how long without a sign of life a connection is made anew.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        path: str,
        *,
        after: str | None = None,
        patience_seconds: float,
        silence_seconds: float | None = None,
    ) -> None:
        self._transport = transport
        self._path = path
        self._seen = after
        self._has_ended = False
        self._patience = Patience(patience_seconds)
        self._silence_seconds = silence_seconds or patience_seconds

    async def events(self) -> AsyncGenerator[types.JobEvent, None]:
        """Every event as it happens.

        Raises:
            ApiStatusError: no such job, or it may not be seen.
            ConnectionFailedError: the gateway stayed away for longer than the patience.
        """
        async for event in self.beats():
            if event is not None:
                yield event

    async def beats(self) -> AsyncGenerator[types.JobEvent | None, None]:
        """The same, and None at each sign of life in between and each lost connection."""
        while not self._has_ended:
            lost: ApiStatusError | ConnectionFailedError | None = None
            try:
                async for event in self._of_connection():
                    yield event
                    self._patience.heard()
            except (ApiStatusError, ConnectionFailedError) as error:
                if not error.may_pass and not isinstance(error.__cause__, httpx.TimeoutException):
                    raise
                self._has_ended, lost = False, error
            if self._patience.is_over():
                seconds, reason = self._patience.seconds, lost or "Repeat the call"
                raise ConnectionFailedError(
                    f"no event arrived at {self._path} for {seconds:.0f} s: {reason}"
                ) from lost
            if not self._has_ended:
                yield None
                await sleep(self._transport.retries.wait_to_reconnect(lost))

    async def _of_connection(self) -> AsyncIterator[types.JobEvent | None]:
        """What one connection brings, behind what was seen."""
        headers = {"accept": "text/event-stream"}
        if self._seen:
            headers["last-event-id"] = self._seen
        async with self._transport.stream(
            self._path, headers=headers, silence_seconds=self._silence_seconds
        ) as response:
            # Its last event had been delivered.
            self._has_ended = response.status_code == httpx.codes.NO_CONTENT
            parser = EventParser()
            async for line in response.aiter_lines():
                event = parser.feed(line)
                if event is not None:
                    self._seen, self._has_ended = event.id or self._seen, is_last(event.body)
                yield cast(types.JobEvent, event.body) if event is not None else None
