"""Requests that come from within: by the same door and the same handlers as those over a socket."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from modelmill_service_kit.errors import UnauthenticatedError

from modelmill_gateway.answers.inner_answers import InnerAnswer
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.requests_in_hand import RequestInHand
from modelmill_gateway.entrypoints.http.gate import Gate, Message, Verifier


class InProcessClient:
    """Asks the HTTP side as a caller who is known already.

    All that the gate and what lies behind it does to a request is done: sizes, scopes, policy,
    quotas, records of usage, metrics, the line in the access log.
    """

    def __init__(self, gate: Gate) -> None:
        self._known = _Vouched(gate.verifier)
        self._gate = gate.for_callers_of(self._known)

    async def __call__(self, path: str, body: bytes, caller: Caller) -> InnerAnswer:
        """POST `body`; raises nothing that the request brings about."""
        token = secrets.token_hex(16)
        self._known.callers[token] = caller
        answer = _Collected()
        try:
            await self._gate(_scope(path, body, token), _Sent(body), answer.send)
        except ConnectionAbortedError:
            return InnerAnswer(500, "", None, 0.0)
        finally:
            del self._known.callers[token]
        return answer.whole()


class _Vouched:
    """Knows the callers of requests in flight by tokens that never leave the process."""

    def __init__(self, verifier: Verifier) -> None:
        self.callers: dict[str, Caller] = {}
        self._verifier = verifier

    async def verify(self, token: str) -> Caller:
        if token not in self.callers:
            raise UnauthenticatedError("no such request is in flight")
        return self.callers[token]

    def holding(self, key_id: str) -> AbstractContextManager[RequestInHand]:
        """As for requests from outside."""
        return self._verifier.holding(key_id)


class _Sent:
    """The body, whole; the client never leaves."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def __call__(self) -> Message:
        if self._body is None:
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Collected:
    """What was answered."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: Mapping[bytes, bytes] = {}
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = dict(message.get("headers", ()))
        else:
            self._parts.append(message.get("body", b""))

    def whole(self) -> InnerAnswer:
        try:
            body = json.loads(b"".join(self._parts))
        except ValueError:
            body = None
        named = self._headers.get(b"x-request-id", b"").decode()
        return InnerAnswer(self._status, named, body, _seconds(self._headers))


def _seconds(headers: Mapping[bytes, bytes]) -> float:
    written = headers.get(b"retry-after", b"")
    return float(written) if written.isdigit() else 0.0


def _scope(path: str, body: bytes, token: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"authorization", b"Bearer " + token.encode()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": None,
        "server": None,
        "state": {},
    }
