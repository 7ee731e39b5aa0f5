"""What both halves of the client share: settings, retries, events of a stream and errors.

Nothing here waits or calls: `_async` does, and `_sync` is generated from it.
"""

import json
import os
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase, BytesIO
from pathlib import Path
from secrets import token_hex
from typing import IO, Any
from urllib.parse import quote

import httpx

from modelmill_client.errors import (
    ApiStatusError,
    ConnectionFailedError,
    ModelmillError,
    SetupError,
)

PAGE = 100
"""Items that the gateway puts in a page at most."""
IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})
ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""Statuses that a job keeps."""
PATIENCE_SECONDS = 60.0
"""Four times what a quiet stream of the gateway may be silent for."""

Token = str | Callable[[], str]
"""A token or an API key; a function is asked before each call, so that it may renew one."""
Content = str | os.PathLike[str] | bytes | IO[bytes]
"""What is uploaded: a path, the bytes themselves, or an open file."""


@dataclass(frozen=True)
class Address:
    """Where the gateway is and what to show it."""

    url: str
    token: Token

    @classmethod
    def find(cls, url: str | None, token: Token | None) -> "Address":
        """What is given, else MODELMILL_URL and MODELMILL_TOKEN.

        Raises:
            SetupError: one of them is missing, or the URL is none.
        """
        url = url or os.environ.get("MODELMILL_URL")
        token = token or os.environ.get("MODELMILL_TOKEN")
        if not url:
            raise SetupError("the address of the gateway is not known. Set MODELMILL_URL")
        if not token:
            raise SetupError("there is no token for the gateway. Set MODELMILL_TOKEN")
        try:
            is_address = httpx.URL(url).scheme in ("http", "https") and bool(httpx.URL(url).host)
        except httpx.InvalidURL:
            is_address = False
        if not is_address:
            raise SetupError(
                f"MODELMILL_URL is not an address: {url!r}. Set one like http://127.0.0.1:8080"
            )
        return cls(url.rstrip("/"), token)

    def current_token(self) -> str:
        """The token to show now."""
        return self.token if isinstance(self.token, str) else self.token()


@dataclass(frozen=True)
class Retries:
    """How often a call is repeated that may pass later, and how long is waited before.

    Only calls are repeated that do no harm twice: GET, PUT, DELETE, what changes nothing, and
    creations with an idempotency key. Only these failures may pass: 502, 503, 504, a 429 with
    Retry-After, and a connection that was refused or lost.
    """

    times: int = 2
    first_wait_seconds: float = 0.5
    """Doubles with each repetition; a random half of it is left out."""
    longest_wait_seconds: float = 30.0
    """A gateway that asks for more, by Retry-After, is not waited for."""
    reconnect_seconds: float = 1.0
    """Between two connections of a stream, of which there may be any number."""

    def wait_after(
        self, attempt: int, failure: ApiStatusError | ConnectionFailedError
    ) -> float | None:
        """Seconds to wait after this attempt, the first being 0; None where it is not repeated."""
        if attempt >= self.times or not failure.may_pass:
            return None
        asked = failure.retry_after if isinstance(failure, ApiStatusError) else None
        if isinstance(failure, ApiStatusError) and failure.status == 429 and asked is None:
            return None
        wait = asked
        if wait is None:
            wait = self.first_wait_seconds * 2**attempt * random.uniform(0.5, 1.0)
        return wait if wait <= self.longest_wait_seconds else None

    def wait_to_reconnect(self, lost: ApiStatusError | ConnectionFailedError | None) -> float:
        """Seconds until a stream that ended so is made anew: at least what the gateway asks for."""
        asked = lost.retry_after if isinstance(lost, ApiStatusError) else None
        return max(self.reconnect_seconds, min(asked or 0, self.longest_wait_seconds))


@dataclass
class Patience:
    """How long a stream may be silent; whatever is heard begins it anew."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    heard_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.heard()

    def heard(self) -> None:
        """The gateway is there."""
        self.heard_at = self.clock()

    def is_over(self) -> bool:
        """Whether it has been away for too long."""
        return self.clock() - self.heard_at >= self.seconds


@dataclass(frozen=True)
class StreamEvent:
    """One event of a stream."""

    id: str
    """What a reconnect resumes after; empty when the stream has no ids."""
    body: dict[str, Any]


class EventParser:
    """Puts the lines of a stream together to events; comments and what is no object are skipped."""

    def __init__(self) -> None:
        self._id = ""
        self._data: list[str] = []

    def feed(self, line: str) -> StreamEvent | None:
        """The event that this line ends."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._id = value
        elif name == "data":
            self._data.append(value)
        elif not line and self._data:
            text, self._data = "\n".join(self._data), []
            body = _object(text)
            return StreamEvent(self._id, body) if body is not None else None
        return None


def _object(text: str) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def is_last(event: Mapping[str, Any]) -> bool:
    """Whether no event of the job comes after this one."""
    return (event.get("data") or {}).get("status") in ENDED


def present(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are given."""
    return {name: value for name, value in parameters.items() if value is not None}


def key_header(idempotency_key: str | None) -> dict[str, str]:
    """The header of a call that may be repeated without doing anything twice."""
    return {"idempotency-key": idempotency_key} if idempotency_key else {}


def refusal(response: httpx.Response) -> ApiStatusError:
    """The error that an unsuccessful response, already read, stands for."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = None
    if not isinstance(error, dict):
        error = {"message": response.text[:500] or response.reason_phrase}
    after = response.headers.get("retry-after", "")
    return ApiStatusError(
        f"{response.request.method} {response.request.url.path}",
        response.status_code,
        error,
        # Its other form, a date, is not what the gateway sends.
        retry_after=float(after) if after.isdecimal() else None,
    )


def unreachable(error: httpx.RequestError, url: str) -> ConnectionFailedError:
    """Why a call brought no answer, and what to do."""
    if refused := _certificate_error(error):
        return ConnectionFailedError(
            f"the certificate of {url} is not accepted: {refused.verify_message}. Renew it, or name"
            " its issuer in SSL_CERT_FILE",
            may_pass=False,
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailedError(
            f"the gateway at {url} does not answer ({error}). Is `mill up` running, or the address"
            " another?"
        )
    if isinstance(error, httpx.TimeoutException):
        return ConnectionFailedError(
            f"the gateway at {url} did not answer in time. Give a larger timeout", may_pass=False
        )
    return ConnectionFailedError(
        f"the connection to {url} was lost ({error}). Repeat the call; what has an idempotency key"
        " is not done twice"
    )


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def path_of(*parts: str | int) -> str:
    """A path of the API; what stands in it is quoted, whatever it is.

    Raises:
        ModelmillError: a part that would lead to another path.
    """
    if wrong := [part for part in parts if part in ("", ".", "..")]:
        raise ModelmillError(f"{wrong[0]!r} is not an id. Give one that a list shows")
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)


@contextmanager
def opened(content: Content, name: str | None) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the content of what is uploaded; a file is read while it is sent.

    Raises:
        OSError: a path that cannot be read.
    """
    if isinstance(content, bytes):
        yield name or "upload.jsonl", BytesIO(content)
    elif isinstance(content, str | os.PathLike):
        path = Path(content)
        with path.open("rb") as file:
            yield name or path.name, file
    else:
        yield name or Path(str(getattr(content, "name", "upload.jsonl"))).name, content


@contextmanager
def whole_file(target: str | os.PathLike[str]) -> Iterator[BufferedIOBase]:
    """A file that takes the name `target` when the block ends well, and is gone otherwise."""
    path = Path(target)
    partial = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
