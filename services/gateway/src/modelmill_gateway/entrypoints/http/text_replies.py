"""What all routes that are plain ASGI do alike: read, listen for the client's end, and answer."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from starlette.types import Receive, Scope, Send

from modelmill_gateway.answers.answer_chat import AnswerChat
from modelmill_gateway.domain.chat import End, Piece
from modelmill_gateway.domain.request_context import RequestContext, key_ends
from modelmill_gateway.entrypoints.http.errors import JSON, Headers, Refusal, error_body, refusal_in
from modelmill_gateway.entrypoints.http.request_head import whole_body
from modelmill_gateway.entrypoints.http.requests import context_of
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers
from modelmill_gateway.metrics import ACTIVE_STREAMS

AskedT = TypeVar("AskedT")
DONE = b"data: [DONE]\n\n"
EVENT_STREAM: Headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


class AnswerEvents(Protocol):
    """How one answer is told in a stream: see `ChatChunks`."""

    def opening(self) -> bytes: ...
    def more(self, piece: Piece) -> bytes: ...
    def finish(self, end: End) -> bytes: ...


class TextStream:
    """A stream of events on its way; nothing is sent before an answer has begun."""

    def __init__(self, send: Send) -> None:
        self.opened = False
        self.tail = b""
        """Goes out with the end of the stream."""
        self._last = b""
        self._send = send

    async def open(self, answers: FilteredAnswers) -> None:
        """Send the headers, unless they are sent."""
        if not self.opened:
            self.opened = True
            ACTIVE_STREAMS.inc()
            headers = [each for each in answer_headers(answers) if each[1]]
            await self._send(
                {"type": "http.response.start", "status": 200, "headers": EVENT_STREAM + headers}
            )

    async def write(self, answers: FilteredAnswers, chunks: Sequence[AnswerEvents]) -> None:
        """Send what is released of each answer, by its own chunks.

        The last one's end is told by `finish` or in the tail, once it is settled.
        """
        send, running = self._send, len(chunks)
        for each in chunks:
            await send(_more(each.opening()))
        async for piece in answers.pieces():
            said = chunks[piece.answer]
            if piece.text or piece.logprobs or piece.calls:
                await send(_more(said.more(piece)))
            if piece.end is not None:
                running -= 1
                self._last = said.finish(piece.end)
                if running:
                    await send(_more(self._last))

    async def tell(self, chunk: bytes) -> None:
        """Send something beside the answers; nothing when it is empty."""
        if chunk:
            await self._send(_more(chunk))

    async def finish(self) -> None:
        """Send how the last answer ended, when more is to come."""
        await self._send(_more(self._last))

    @property
    def last_end(self) -> bytes:
        """How the last answer ended, as a chunk."""
        return self._last


def _failed(refusal: Refusal, request_id: str) -> bytes:
    """An error after the first byte: the event that ends the stream instead of [DONE]."""
    return b"data: " + error_body(refusal, request_id) + b"\n\n"


@asynccontextmanager
async def text_stream(
    send: Send,
    request: RequestContext,
    *,
    done: bytes = DONE,
    failed: Callable[[Refusal, str], bytes] = _failed,
) -> AsyncIterator[TextStream]:
    """A stream that ends well with the block and `done`, or with an error as its last event.

    What is raised before the stream was opened goes on, and becomes a status.

    Args:
        failed: the last event, of a refusal and the request's id.
    """
    stream = TextStream(send)
    try:
        try:
            with key_ends(request.in_hand):
                yield stream
            last = stream.tail + done
        except Exception as error:
            if not stream.opened:
                raise
            request_id = request.request_id
            last = failed(refusal_in(error, "a stream", request_id), request_id)
        await send({"type": "http.response.body", "body": last})
    finally:
        if stream.opened:
            ACTIVE_STREAMS.dec()


async def while_listening(receive: Receive, reply: Awaitable[None]) -> None:
    """Run `reply` to its end, or cancel it when the client disconnects.

    It runs in the task that asks: a task of its own, and waiting for two, cost a short answer more
    than judging it does.
    """
    replying = asyncio.current_task()
    assert replying is not None, "only tasks answer"
    is_over = has_left = False

    def left(listening: asyncio.Task[None]) -> None:
        nonlocal has_left
        if not is_over and not listening.cancelled():
            has_left = True
            replying.cancel()

    listening = asyncio.create_task(_disconnected(receive))
    listening.add_done_callback(left)
    try:
        await reply
    except asyncio.CancelledError:
        # Not ours to swallow when somebody else wants the task to end, too.
        if not has_left or replying.uncancel():
            raise
    finally:
        is_over = True
        listening.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_json(send: Send, fields: Mapping[str, Any], headers: Headers) -> None:
    """A whole answer; headers without a value are left out."""
    body = json.dumps(fields, ensure_ascii=False).encode()
    length = (b"content-length", str(len(body)).encode())
    said = [*JSON, length, *(each for each in headers if each[1])]
    await send({"type": "http.response.start", "status": 200, "headers": said})
    await send({"type": "http.response.body", "body": body})


def answer_headers(answers: FilteredAnswers, *, whole: bool = False) -> Headers:
    """What the headers of an answer say: who answered, by which policy, and what is left."""
    return [
        (b"x-model-version", answers.version_id.encode()),
        (b"x-model-variant", answers.variant.encode()),
        (b"x-policy-digest", answers.policy_digest.encode()),
        *(answers.meter.headers if answers.meter is not None else ()),
        (b"x-finish-reason", answers.end.finish_reason.encode() if whole else b""),
    ]


class JsonRoute(ABC, Generic[AskedT]):
    """JSON route as plain ASGI; its work is cancelled when the client disconnects."""

    @abstractmethod
    def parse(self, body: bytes) -> AskedT:
        """What a body asks for. Raises what its schema says."""

    @abstractmethod
    async def whole(
        self, asked: AskedT, request: RequestContext
    ) -> tuple[Mapping[str, Any], Headers]:
        """The whole answer, and what is said beside it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked = self.parse(await whole_body(receive))
        await while_listening(receive, self.reply(asked, context_of(scope), send))

    async def reply(self, asked: AskedT, request: RequestContext, send: Send) -> None:
        """Send the answer."""
        await send_json(send, *await self.whole(asked, request))

    async def answer(self, body: bytes, request: RequestContext) -> Mapping[str, Any]:
        """The whole answer to a request that came another way, as within a batch."""
        shown, _ = await self.whole(self.parse(body), request)
        return shown


class Streamable(Protocol):
    """A parsed request that says how its answer is sent."""

    @property
    def stream(self) -> bool: ...


StreamableT = TypeVar("StreamableT", bound=Streamable)


class TextRoute(JsonRoute[StreamableT]):
    """Route that generates text, whole or as a stream that is not buffered."""

    def __init__(self, answer_chat: AnswerChat) -> None:
        self._answer_chat = answer_chat

    async def reply(self, asked: StreamableT, request: RequestContext, send: Send) -> None:
        """Send the answer, whole or as it comes."""
        if asked.stream:
            await self.stream(asked, request, send)
        else:
            await super().reply(asked, request, send)

    @abstractmethod
    async def stream(self, asked: StreamableT, request: RequestContext, send: Send) -> None:
        """Send the answer as it comes."""


def _more(body: bytes) -> Any:
    return {"type": "http.response.body", "body": body, "more_body": True}
