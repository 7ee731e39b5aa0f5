"""HTTP client of vLLM's OpenAI-compatible API, with typed errors."""

import json
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from modelmill_service_kit.errors import (
    InvalidInputError,
    OverloadedError,
    PreconditionError,
    UnavailableError,
)

from modelmill_inference.engine import EngineRestartingError

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
EVENT = b"data: "
END_OF_STREAM = b"[DONE]"
LOGGED_BYTES = 500

ApiError = InvalidInputError | OverloadedError | PreconditionError | UnavailableError


class UnknownModelError(PreconditionError):
    """The server has no model or adapter of the requested name."""


class SilentServerError(EngineRestartingError):
    """The server was silent for longer than the time limit."""

    def __init__(self) -> None:
        super().__init__(died_under_it=True)


class VllmApi:
    """A client with kept-alive connections; closing a stream aborts its request.

    Args:
        silence_seconds: read timeout.
    """

    def __init__(self, url: str, key: str, *, silence_seconds: float) -> None:
        # Uncompressed: tokens arrive one by one, over a local or nearby connection.
        headers = {"accept-encoding": "identity"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            # Proxies of the environment are for external hosts.
            trust_env=False,
            timeout=httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )

    async def is_ready(self) -> bool:
        """Whether the server is healthy."""
        try:
            return (await self._client.get("/health")).is_success
        except httpx.TransportError:
            return False

    async def models(self) -> list[str]:
        """Names of the served models; raises as `ask`."""
        with typed_errors():
            response = await self._client.get("/v1/models")
            _check(response.status_code, response.content)
            return [str(model["id"]) for model in response.json()["data"]]

    async def ask(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Send a request; returns the response body.

        Raises:
            EngineRestartingError: it cannot be reached, or closed the connection.
            UnavailableError: it failed.
            InvalidInputError: it rejects the request; the logs have the reason.
            OverloadedError: it is overloaded.
            PreconditionError: it rejects the API key, or does not have the model.
        """
        with typed_errors():
            response = await self._client.post(path, json=body)
            _check(response.status_code, response.content)
            return response.content

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """Stream server-sent events; raises as `ask`, also during the stream."""
        with typed_errors():
            async with self._client.stream("POST", path, json=body) as response:
                if response.status_code != httpx.codes.OK:
                    _check(response.status_code, await response.aread())
                rest = b""
                async for received in response.aiter_raw():
                    *lines, rest = (rest + received).split(b"\n")
                    for event in _events(lines):
                        yield event

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _events(lines: Sequence[bytes]) -> list[Any]:
    told = (line.removeprefix(EVENT) for line in lines if line.startswith(EVENT))
    events = [json.loads(event) for event in told if event.strip() != END_OF_STREAM]
    for event in events:
        if "error" in event:
            _check(int(event["error"].get("code") or 500), json.dumps(event).encode())
    return events


@contextmanager
def typed_errors() -> Iterator[None]:
    """Convert transport and parse errors to typed errors."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise EngineRestartingError from error
    except httpx.TimeoutException as error:
        raise SilentServerError from error
    except httpx.TransportError as error:
        raise EngineRestartingError(died_under_it=True) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        log.error("the vLLM server's response is malformed: %r", error)
        raise UnavailableError("the vLLM server gave a malformed response. Retry") from error


def _check(status: int, body: bytes) -> None:
    """Raise the error of a status. The server's message is only logged: it may name folders."""
    if status < httpx.codes.BAD_REQUEST:
        return
    log.error("vLLM answered %d: %s", status, body[:LOGGED_BYTES].decode(errors="replace"))
    raise _error_of(status)


def _error_of(status: int) -> ApiError:
    match status:
        case 401 | 403:
            return PreconditionError("the vLLM server refuses our key. See INFERENCE_VLLM_KEY")
        case 404:
            return UnknownModelError("the vLLM server does not serve this model")
        case 429:
            return OverloadedError("the vLLM server is full. Retry")
        case _ if status < httpx.codes.INTERNAL_SERVER_ERROR:
            return InvalidInputError("the engine cannot run these options or this prompt")
        case _:
            return UnavailableError("the vLLM server failed. Retry")
