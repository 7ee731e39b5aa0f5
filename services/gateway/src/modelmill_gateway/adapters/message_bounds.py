"""What one HTTP request may take on the wire beside its content, and which framing is understood.

The parser (llhttp) refuses what is malformed: folded lines, two lengths, a length beside chunks.
Here is what it lets pass.
"""

import http
import json
from typing import Any

FULL_RETRY_SECONDS = 2


class WireError(ValueError):
    """A request that is not HTTP/1.1 as it is served here.

    Args:
        status: of the answer.
        message: what is wrong, and what to do about it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def refusal_body(status: int, message: str) -> bytes:
    """The error as OpenAI's clients read it."""
    error = {
        "message": message,
        "type": "server_error" if status >= 500 else "invalid_request_error",
        "param": None,
        "code": "unavailable" if status == 503 else "bad_request",
        "request_id": None,
    }
    return json.dumps({"error": error}).encode()


def whole_refusal(error: WireError) -> bytes:
    """The answer as it is written to the socket."""
    body = refusal_body(error.status, error.message)
    head = (
        f"HTTP/1.1 {error.status} {http.HTTPStatus(error.status).phrase}\r\n"
        "content-type: application/json\r\nx-content-type-options: nosniff\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


async def refuse_full(_scope: Any, _receive: Any, send: Any) -> None:
    """An ASGI app that has no room."""
    body = refusal_body(503, "too many connections")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(FULL_RETRY_SECONDS).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


MAX_HEAD_BYTES = 32 * 1024
"""Request line and headers together; a token takes at most a quarter of it."""
MAX_FRAMING_BYTES = 16 * 1024
"""Chunk extensions and trailers of one request together."""
CHUNK_BYTES = 20
"""Of each chunk beside its content and its extensions: 16 digits and two line ends."""
LINE_BYTES = 4
"""Of each header beside its name and value."""
FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"upgrade", b"expect"})
"""Headers that say how a request is to be read."""
VERSIONS = ("1.1", "1.0")


class MessageBounds:
    """Counts the bytes of one message after another; `begin` starts the next."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Expect a head."""
        self.in_head = True
        self.received = 0
        """Bytes that came since the last message was complete."""
        self.content = 0
        """Bytes of the body, without its framing."""
        self.declared = 0
        """Bytes of the body as its length announces them."""
        self.is_chunked = False
        self.asks_to_go_on = False
        """Whether the client waits for a word before it sends the body."""
        self._head = 0
        self._chunks = 0
        self._hosts = 0
        self._asks_upgrade = False

    def add_line(self, size: int) -> None:
        """A piece of the head.

        Raises:
            WireError: the head is too large.
        """
        self._head += size + LINE_BYTES
        if self._head > MAX_HEAD_BYTES:
            raise _head_too_large()

    def add_framing(self, name: bytes, value: bytes) -> None:
        """A header of those in `FRAMING`.

        Raises:
            WireError: it asks for what is not understood.
        """
        if name == b"host":
            self._hosts += 1
        elif name == b"content-length":
            self.declared = int(value)
        elif name == b"upgrade":
            self._asks_upgrade = True
        elif name == b"expect":
            self.asks_to_go_on = value.lower() == b"100-continue"
        elif value.strip().lower() != b"chunked":
            raise WireError(501, "Transfer-Encoding: only chunked is understood. Send it alone")
        else:
            self.is_chunked = True

    def end_head(self, version: str) -> None:
        """All headers are there.

        Raises:
            WireError: they contradict each other, or HTTP of that version.
        """
        if version not in VERSIONS:
            raise WireError(505, "send HTTP/1.1")
        if self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            raise WireError(400, "send exactly one Host header")
        if self.is_chunked and version == "1.0":
            raise WireError(400, "HTTP/1.0 has no Transfer-Encoding. Send Content-Length")
        if self._asks_upgrade and (self.is_chunked or self.declared):
            # The parser would take the body for the beginning of another protocol.
            raise WireError(400, "a request with a body cannot upgrade. Leave out Upgrade")

    def add_chunk(self) -> None:
        """The size line of a chunk."""
        self._chunks += 1

    def check(self) -> None:
        """Look at what has come so far, complete or not.

        Raises:
            WireError: the head, or what is no content of the body, is too large.
        """
        if self.in_head:
            if self.received > MAX_HEAD_BYTES:
                raise _head_too_large()
        elif self.is_chunked:
            allowed = self._head + self.content + self._chunks * CHUNK_BYTES
            if self.received - allowed > MAX_FRAMING_BYTES:
                raise WireError(
                    400,
                    f"chunk extensions and trailers take more than {MAX_FRAMING_BYTES} bytes. "
                    "Leave them out, they are ignored",
                )


def _head_too_large() -> WireError:
    return WireError(431, f"the head of the request is larger than {MAX_HEAD_BYTES} bytes")
