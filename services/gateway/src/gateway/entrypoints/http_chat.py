"""Conversations, as plain ASGI: nothing stands between a token and the socket."""

import time
from typing import Any

from gateway.domain.chat import ChatCall
from gateway.entrypoints.chat_body import ChatRequest, parse_chat, parse_generate
from gateway.entrypoints.http_gate import Receive, Scope, Send
from gateway.entrypoints.sse import ChatChunks
from gateway.entrypoints.text_replies import (
    Answers,
    send_json,
    text_stream,
    usage_view,
    while_listening,
    whole_body,
)


class ChatRoute:
    """POST /v1/chat/completions."""

    def __init__(self, answer_chat: Answers) -> None:
        self._answer_chat = answer_chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        asked = parse_chat(await whole_body(receive))
        reply = self._stream if asked.stream else self._whole
        await while_listening(receive, reply(asked, scope["state"], send))

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
            "usage": usage_view([answer.end]),
        }
        await send_json(send, body, answer)

    async def _stream(self, asked: ChatRequest, state: dict[str, Any], send: Send) -> None:
        request_id = state["request_id"]
        async with text_stream(send, request_id) as stream:
            answering = self._answer_chat(asked.call, state["caller"], request_id=request_id)
            async with answering as answer:
                chunks = ChatChunks(
                    answer_id=_completion_id(request_id),
                    created=int(time.time()),
                    model=asked.call.model,
                    fingerprint=answer.version_id,
                    with_usage=asked.include_usage,
                )
                await stream.open(answer)
                await stream.write(answer, chunks)
            stream.tail = chunks.finish(answer.end.finish_reason)
            usage = usage_view([answer.end])
            if asked.include_usage and usage is not None:
                stream.tail += chunks.usage(usage)


class GenerateRoute:
    """POST /generate."""

    def __init__(self, answer_chat: Answers, default_model: str) -> None:
        self._answer_chat = answer_chat
        self._default_model = default_model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves takes its generation with it."""
        call = parse_generate(await whole_body(receive), self._default_model)
        await while_listening(receive, self._whole(call, scope["state"], send))

    async def _whole(self, call: ChatCall, state: dict[str, Any], send: Send) -> None:
        answering = self._answer_chat(call, state["caller"], request_id=state["request_id"])
        async with answering as answer:
            text = "".join([part async for part in answer.texts()])
        await send_json(send, {"text": text}, answer)


def _completion_id(request_id: str) -> str:
    return f"chatcmpl-{request_id.removeprefix('req-')}"
