"""One request to a content-safety service: no proxy, cookie or redirect, and a bounded answer."""

import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.retry_after import retry_after_seconds

from modelmill_moderation.domain.kept_scores import Scores
from modelmill_moderation.domain.no_opinion import Failure, NoOpinionError, bad_answer
from modelmill_moderation.safety_service_settings import SafetyServiceSettings

AZURE_SEVEREST = 7
"""Of its eight levels."""


@dataclass(frozen=True)
class SafetyStyle:
    """One way."""

    question: Callable[[str, str], Mapping[str, str]]
    """The body for a text and a model, which may be empty."""

    credential: Callable[[str], tuple[str, str]]
    """The header that shows a token."""

    scores: Callable[[Any], Any]
    """Of a whole answer a mapping from categories to numbers from 0 to 1.

    What it raises, or gives instead, of an answer in another form is for its caller to handle.
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
"""By their names in settings."""


MAX_CATEGORIES = 200
MAX_NAME = 100
"""With the number of categories, what one remembered answer may take."""


def scores_in(body: bytes, style: SafetyStyle) -> Scores:
    """Scores of the one text that was asked about.

    Raises:
        NoOpinionError: it is anything else.
    """
    try:
        scores = style.scores(json.loads(body))
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        scores = None
    if not isinstance(scores, dict):
        raise bad_answer("is not one text's scores of categories")
    if len(scores) > MAX_CATEGORIES or not all(map(_is_name, scores)):
        raise bad_answer("has more categories, or longer ones, than anybody needs")
    if not all(map(_is_probability, scores.values())):
        raise bad_answer("has a score that is no number from 0 to 1")
    return scores


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= MAX_NAME


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


ANSWER_BYTES = 64 * 1024
AT_ONCE = 64
"""Texts that one service is asked about at a time; more wait, within their time."""
OF_THIS_TEXT = frozenset({400, 413, 414, 415, 422})
"""Statuses by which a service that is well turns a text down."""
MEANINGS = {401: Failure.DENIED, 403: Failure.DENIED, 408: Failure.BUSY, 429: Failure.BUSY}


class SafetyHttp:
    """Posts texts, and reads what is said of them.

    Raises:
        InvalidInputError: a file that the settings name is no good.
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
        # Without a client around it nothing is stored, followed or unpacked.
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=AT_ONCE),
        )
        # Not the pool's own limit: httpcore 1.0.9 loses a connection for good when a call is
        # cancelled that waits for one, and a pool that lost all of them answers nobody any more.
        self._room = asyncio.Semaphore(AT_ONCE)
        self._calls: set[asyncio.Task[bytes]] = set()

    async def close(self) -> None:
        """Close what is open."""
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._transport.aclose()

    async def scores(self, text: str) -> Scores:
        """What the service answers to `text`.

        Raises:
            NoOpinionError: there is none that could be read.
        """
        try:
            async with self._room:
                body = await self._cancelled_once(self._post(self._request(text)))
        except (httpx.HTTPError, OSError) as error:
            # Without the address, which is not for those who hear of it.
            raise NoOpinionError(Failure.UNREACHABLE, type(error).__name__) from error
        return scores_in(body, self._style)

    async def _cancelled_once(self, call: Coroutine[Any, Any, bytes]) -> bytes:
        """What the call returns; whoever leaves it does not disturb how it cleans up.

        Expected: httpcore closes a connection whose call is cancelled. Actual: a second cancel, as
        of a deadline and then of a caller, ends the closing, and the connection stays.
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
            # The one cancel may come here.
            await asyncio.shield(response.aclose())

    def _request(self, text: str) -> httpx.Request:
        settings = self._settings
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            # Nothing is unpacked here: what is small when packed may be more than anybody can hold.
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
    """The token that a file holds.

    Raises:
        NoOpinionError: it cannot be read, or holds no token.
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
    """Raise unless the answer is one to be read."""
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
