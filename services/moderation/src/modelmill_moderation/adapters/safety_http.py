"""HTTP client of a content-safety service: no proxy, cookies or redirects, bounded responses."""

import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from modelmill_service_kit.breaker import retry_after_seconds
from modelmill_service_kit.errors import InvalidInputError

from modelmill_moderation.domain.judge_answers import Failure, NoOpinionError, Scores, bad_answer
from modelmill_moderation.safety_service_settings import SafetyServiceSettings

MAX_CATEGORIES = 200
MAX_NAME = 100
"""With `MAX_CATEGORIES`, bounds the memory of a cached response."""


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= MAX_NAME


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


AZURE_SEVEREST = 7
"""Highest of its eight severity levels."""


@dataclass(frozen=True)
class SafetyStyle:
    """Format of one API."""

    question: Callable[[str, str], Mapping[str, str]]
    """Request body for a text and a model; the model may be empty."""

    credential: Callable[[str], tuple[str, str]]
    """Authentication header for a token."""

    scores: Callable[[Any], Any]
    """Scores from 0 to 1 by category, from a decoded response.

    For other content it may raise or return anything; the caller validates.
    """


def _openai_scores(answer: Any) -> Any:
    (result,) = answer["results"]
    return result["category_scores"]


def _azure_scores(answer: Any) -> Any:
    found = [(each["category"], each["severity"]) for each in answer["categoriesAnalysis"]]
    if not all(type(severity) is int for _, severity in found):
        raise TypeError("a severity is a whole number")
    return {category: severity / AZURE_SEVEREST for category, severity in found}


STYLES: Mapping[str, SafetyStyle] = {
    "openai": SafetyStyle(
        question=lambda text, model: {"input": text} | ({"model": model} if model else {}),
        credential=lambda token: ("authorization", f"Bearer {token}"),
        scores=_openai_scores,
    ),
    "azure": SafetyStyle(
        question=lambda text, _: {"text": text, "outputType": "EightSeverityLevels"},
        credential=lambda token: ("ocp-apim-subscription-key", token),
        scores=_azure_scores,
    ),
}
"""Formats by their name in settings."""


ANSWER_BYTES = 64 * 1024
AT_ONCE = 64
"""Concurrent requests per service; further ones wait, within their timeout."""
OF_THIS_TEXT = frozenset({400, 413, 414, 415, 422})
"""Statuses by which a healthy service rejects a text."""
MEANINGS = {401: Failure.DENIED, 403: Failure.DENIED, 408: Failure.BUSY, 429: Failure.BUSY}


class SafetyHttp:
    """Posts texts and returns their scores.

    Raises:
        InvalidInputError: A file named in the settings cannot be used.
    """

    def __init__(self, name: str, settings: SafetyServiceSettings) -> None:
        self._settings = settings
        self._style = STYLES[settings.style]
        try:
            if settings.token_file is not None:
                token_in(settings.token_file)
            tls = _tls(settings.ca_file)
        except (NoOpinionError, OSError) as error:
            raise InvalidInputError(f"safety service {name}: {error}") from error
        # A bare transport stores no cookies, follows no redirects and decompresses nothing.
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=AT_ONCE),
        )
        # A semaphore instead of the pool's limit: httpcore 1.0.9 leaks a connection slot when a
        # request waiting for one is cancelled, until the pool has none left.
        self._room = asyncio.Semaphore(AT_ONCE)
        self._calls: set[asyncio.Task[bytes]] = set()

    async def close(self) -> None:
        """Wait for pending calls and close connections."""
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._transport.aclose()

    async def scores(self, text: str) -> Scores:
        """Category scores of `text`.

        Raises:
            NoOpinionError: There is no valid response.
        """
        try:
            async with self._room:
                body = await self._cancelled_once(self._post(self._request(text)))
        except (httpx.HTTPError, OSError) as error:
            # Omit the address, which callers must not learn.
            raise NoOpinionError(Failure.UNREACHABLE, type(error).__name__) from error
        return scores_in(body, self._style)

    async def _cancelled_once(self, call: Coroutine[Any, Any, bytes]) -> bytes:
        """Run the call in a task that is cancelled at most once.

        httpcore closes a connection when its call is cancelled. A second cancellation, by a
        deadline
        and then by the caller, would interrupt the closing and leak the connection.
        """
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def _post(self, request: httpx.Request) -> bytes:
        response = await self._transport.handle_async_request(request)
        try:
            _check_head(response)
            return await _bounded(response)
        finally:
            # The cancellation may arrive here.
            await asyncio.shield(response.aclose())

    def _request(self, text: str) -> httpx.Request:
        settings = self._settings
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            # No compression: a small compressed body may expand beyond any limit.
            "accept-encoding": "identity",
            "user-agent": "Modelmill-Moderation/1",
        }
        if settings.token_file is not None:
            name, value = self._style.credential(token_in(settings.token_file))
            headers[name] = value
        content = json.dumps(self._style.question(text, settings.model)).encode()
        return httpx.Request("POST", settings.url, headers=headers, content=content)


def _tls(authorities: Path | None) -> ssl.SSLContext:
    if authorities is not None:
        return ssl.create_default_context(cafile=authorities)
    return httpx.create_ssl_context(trust_env=False)


def token_in(file: Path) -> str:
    """Read the token from a file.

    Raises:
        NoOpinionError: It cannot be read, or has no token.
    """
    try:
        token = file.read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        what = f"the token's file: {type(error).__name__}"
        raise NoOpinionError(Failure.DENIED, what) from error
    if not token or not token.isprintable():
        raise NoOpinionError(Failure.DENIED, "the token's file holds no token")
    return token


def _check_head(response: httpx.Response) -> None:
    """Raise NoOpinionError unless the status is 200."""
    status = response.status_code
    if status == httpx.codes.OK:
        return
    if status in OF_THIS_TEXT:
        failure = Failure.REFUSED
    else:
        other = Failure.BROKEN if status >= 500 else Failure.BAD_ANSWER
        failure = MEANINGS.get(status, other)
    asked = retry_after_seconds(response.headers.get("retry-after"), datetime.now(UTC))
    raise NoOpinionError(failure, f"it answered {status}", retry_after_seconds=asked or 0.0)


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.stream:  # type: ignore[union-attr]
        body += piece
        if len(body) > ANSWER_BYTES:
            raise bad_answer(f"is longer than {ANSWER_BYTES} bytes")
    return bytes(body)


def scores_in(body: bytes, style: SafetyStyle) -> Scores:
    """Category scores of the one text in the request.

    Raises:
        NoOpinionError: The body is anything else.
    """
    try:
        scores = style.scores(json.loads(body))
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        scores = None
    if not isinstance(scores, dict):
        raise bad_answer("does not have the category scores of one text")
    if len(scores) > MAX_CATEGORIES or not all(map(_is_name, scores)):
        raise bad_answer("has too many categories, or too long names")
    if not all(map(_is_probability, scores.values())):
        raise bad_answer("has a score that is not a number from 0 to 1")
    return scores
