"""A vLLM server's OpenAI-compatible API: what is asked, what is answered, and typed errors."""

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
    """The server does not know the model or adapter by the name it was asked for."""


class SilentServerError(EngineRestartingError):
    """The server said nothing for as long as a server may."""

    def __init__(self) -> None:
        super().__init__(died_under_it=True)


class VllmApi:
    """One server, over kept connections; closing a stream closes its connection, which ends it.

    Args:
        silence_seconds: an answer that brings nothing for so long is given up.
    """

    def __init__(self, url: str, key: str, *, silence_seconds: float) -> None:
        # Not compressed: tokens are told one by one, and the socket is this machine's or near it.
        headers = {"accept-encoding": "identity"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            # The environment's proxies are for the world outside.
            trust_env=False,
            timeout=httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )

    async def is_ready(self) -> bool:
        """Whether it answers and its engine is up."""
        try:
            return (await self._client.get("/health")).is_success
        except httpx.TransportError:
            return False

    async def models(self) -> list[str]:
        """Names of the models that it serves; raises as `ask`."""
        with typed_errors():
            response = await self._client.get("/v1/models")
            _check(response.status_code, response.content)
            return [str(model["id"]) for model in response.json()["data"]]

    async def ask(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The whole answer.

        Raises:
            EngineRestartingError: it cannot be reached, or broke off.
            UnavailableError: it failed.
            InvalidInputError: it refuses the request; its log and ours say why.
            OverloadedError: it is full.
            PreconditionError: it refuses our key, or does not know the model.
        """
        with typed_errors():
            response = await self._client.post(path, json=body)
            _check(response.status_code, response.content)
            return response.content

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The events of the answer; raises as `ask`, also in the midst of it."""
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
    """What goes wrong on the way to the server, and what cannot be read, as errors of ours."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise EngineRestartingError from error
    except httpx.TimeoutException as error:
        raise SilentServerError from error
    except httpx.TransportError as error:
        raise EngineRestartingError(died_under_it=True) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        log.error("the vLLM server's answer is none: %r", error)
        raise UnavailableError("the vLLM server gave no answer that can be read") from error


def _check(status: int, body: bytes) -> None:
    """Raise what a status means. The server's own words are for the log: they may name folders."""
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
