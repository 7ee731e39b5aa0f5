"""The routes that generate text, as plain ASGI: nothing stands between a token and the socket."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from prometheus_client import Gauge
from service_kit.errors import DomainError
from starlette.requests import ClientDisconnect

from gateway.domain.access import Caller
from gateway.domain.chat import ChatCall, Usage
from gateway.entrypoints.chat_body import ChatRequest, parse_chat, parse_generate
from gateway.entrypoints.http_errors import error_body, internal_error_body
from gateway.entrypoints.http_gate import Receive, Scope, Send
from gateway.entrypoints.sse import DONE, ChunkTemplate, error_event
from gateway.guarded_answer import GuardedAnswer

log = logging.getLogger(__name__)

ACTIVE_STREAMS = Gauge("modelmill_gateway_active_streams", "Answers being streamed over HTTP.")


class Answers(Protocol):
    """See `gateway.answer_chat.AnswerChat`."""

    def __call__(
        self, call: ChatCall, caller: Caller, *, request_id: str
    ) -> AbstractAsyncContextManager[GuardedAnswer]: ...


class ChatRoute:
    """POST /v1/chat/completions."""

    def __init__(self, answer_chat: Answers) -> None:
        self._answer_chat = answer_chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        asked = parse_chat(await _whole_body(receive))
        reply = self._stream if asked.stream else self._whole
        await _while_listening(receive, reply(asked, scope["state"], send))

    async def _whole(self, asked: ChatRequest, state: dict[str, Any], send: Send) -> None:
        request_id = state["request_id"]
        async with self._answer_chat(asked.call, state["caller"], request_id=request_id) as answer:
            text = "".join([part async for part in answer.texts()])
        body = {
            "id": _completion_id(request_id),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked.call.model,
            "system_fingerprint": answer.version_id,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": answer.end.finish_reason,
                }
            ],
            "usage": _usage(answer.end.usage),
        }
        await _send_json(send, body, answer)

    async def _stream(self, asked: ChatRequest, state: dict[str, Any], send: Send) -> None:
        request_id = state["request_id"]
        async with self._answer_chat(asked.call, state["caller"], request_id=request_id) as answer:
            chunks = ChunkTemplate(
                completion_id=_completion_id(request_id),
                created=int(time.time()),
                model=asked.call.model,
                fingerprint=answer.version_id,
                with_usage=asked.include_usage,
            )
            await send(_start(answer, b"text/event-stream", (b"cache-control", b"no-store")))
            with ACTIVE_STREAMS.track_inprogress():
                last = await self._chunks(answer, chunks, send, asked, request_id)
        await send({"type": "http.response.body", "body": last})

    async def _chunks(
        self,
        answer: GuardedAnswer,
        chunks: ChunkTemplate,
        send: Send,
        asked: ChatRequest,
        request_id: str,
    ) -> bytes:
        """Send the text as it is released; what is returned ends the stream."""
        try:
            await send(_more(chunks.role()))
            async for text in answer.texts():
                await send(_more(chunks.text(text)))
        except DomainError as error:
            return error_event(error_body(error, request_id))
        except Exception:
            log.exception("unexpected error in the stream of request %s", request_id)
            return error_event(internal_error_body(request_id))
        last = chunks.finish(answer.end.finish_reason)
        usage = _usage(answer.end.usage)
        if asked.include_usage and usage is not None:
            last += chunks.usage(usage)
        return last + DONE


class GenerateRoute:
    """POST /generate."""

    def __init__(self, answer_chat: Answers, default_model: str) -> None:
        self._answer_chat = answer_chat
        self._default_model = default_model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        call = parse_generate(await _whole_body(receive), self._default_model)
        await _while_listening(receive, self._whole(call, scope["state"], send))

    async def _whole(self, call: ChatCall, state: dict[str, Any], send: Send) -> None:
        answering = self._answer_chat(call, state["caller"], request_id=state["request_id"])
        async with answering as answer:
            text = "".join([part async for part in answer.texts()])
        await _send_json(send, {"text": text}, answer)


async def _while_listening(receive: Receive, reply: Awaitable[None]) -> None:
    """Run `reply` to its end, or cancel it when the client disconnects."""
    replying = asyncio.ensure_future(reply)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((replying, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        if not replying.done():
            replying.cancel()
    await asyncio.wait((replying,))
    if not replying.cancelled():
        replying.result()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _whole_body(receive: Receive) -> bytes:
    """The request's body; the gate has set a limit to it.

    Raises:
        ClientDisconnect: the client left before it was complete.
    """
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _start(answer: GuardedAnswer, content_type: bytes, *more: tuple[bytes, bytes]) -> Any:
    headers = [
        (b"content-type", content_type),
        (b"x-model-version", answer.version_id.encode()),
        (b"x-policy-digest", answer.policy_digest.encode()),
        *more,
    ]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _more(body: bytes) -> Any:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _send_json(send: Send, fields: dict[str, Any], answer: GuardedAnswer) -> None:
    body = json.dumps(fields, ensure_ascii=False).encode()
    length = (b"content-length", str(len(body)).encode())
    reason = (b"x-finish-reason", answer.end.finish_reason.encode())
    await send(_start(answer, b"application/json", length, reason))
    await send({"type": "http.response.body", "body": body})


def _usage(usage: Usage | None) -> dict[str, int] | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _completion_id(request_id: str) -> str:
    return f"chatcmpl-{request_id.removeprefix('req-')}"
