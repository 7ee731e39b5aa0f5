"""An OpenID provider on a socket of its own: documents that a test may change while it runs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from modelmill_gateway.adapters.http_server import serve_http

from gateway_support.issuer import Issuer

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"


class Provider:
    """Answers with `answers` by path: a status, headers and a body."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}

    def publish(self, *issuers: Issuer, **changes: Any) -> None:
        """Name these keys; `changes` are to the document about itself, None leaves a field out."""
        about = {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"} | changes
        about = {name: value for name, value in about.items() if value is not None}
        self.say(DISCOVERY, about)
        self.say(KEYS, {"keys": [issuer.jwk() for issuer in issuers]})

    def say(self, path: str, document: Any) -> None:
        """Answer with it from now on."""
        self.answers[path] = (200, {}, json.dumps(document).encode())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        self.asked.append(scope["path"])
        status, headers, body = self.answers.get(scope["path"], (404, {}, b""))
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    """Answers until the block ends."""
    provider = Provider()
    async with serve_http(provider, "127.0.0.1:0", drain_seconds=1) as server:
        provider.url = f"http://127.0.0.1:{server.port}"
        yield provider
