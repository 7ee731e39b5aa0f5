"""A server with vLLM's API and no model: its tokens follow from the model's name and the prompt.

Run as a script it is what `VllmOptions.command` starts. Some first tokens of a prompt have it
misbehave; see `DIE` and the others.
"""

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from modelmill_testkit.waiting import eventually
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

VOCABULARY = 384
DIE, HANG, REFUSE, FAIL, GIVE_UP = 11, 12, 13, 14, 15
"""The process ends; nothing comes; 400; an error in the stream; the answer is aborted."""


def token_after(model: str, context: tuple[int, ...]) -> int:
    """What the fake model finds likeliest."""
    return sum(map(ord, model)) * 31 % 97 + sum(context) % 200 + len(context) % 50


def logprob_of(model: str, context: tuple[int, ...], token: int) -> float:
    """Of any token behind a context: the likeliest has the most."""
    return -0.5 - abs(token_after(model, context) - token) / 7


@dataclass
class FakeVllm:
    """The server's state, for a test to look at."""

    model: str
    key: str = ""
    adapters: dict[str, str] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Of completions that were asked for."""
    in_flight: int = 0
    refused_adapters: set[str] = field(default_factory=set)

    def app(self) -> Starlette:
        """The API."""
        return Starlette(
            routes=[
                Route("/health", lambda _: Response()),
                Route("/v1/models", self._models),
                Route("/v1/completions", self._complete, methods=["POST"]),
                Route("/v1/load_lora_adapter", self._load, methods=["POST"]),
                Route("/v1/unload_lora_adapter", self._unload, methods=["POST"]),
            ]
        )

    async def _models(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        return JSONResponse({"data": [{"id": name} for name in (self.model, *self.adapters)]})

    async def _load(self, request: Request) -> Response:
        asked = await request.json()
        if asked["lora_path"] in self.refused_adapters or asked["lora_name"] in self.adapters:
            return _error(400)
        self.adapters[asked["lora_name"]] = asked["lora_path"]
        return PlainTextResponse("Success")

    async def _unload(self, request: Request) -> Response:
        asked = await request.json()
        known = self.adapters.pop(asked["lora_name"], None)
        return PlainTextResponse("Success") if known else _error(404)

    async def _complete(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        body = await request.json()
        self.bodies.append(body)
        if body["model"] not in (self.model, *self.adapters):
            return _error(404)
        if body["prompt"][0] == DIE:
            os._exit(3)
        if body["prompt"][0] == REFUSE:
            return _error(400)
        if body.get("stream"):
            return StreamingResponse(self._stream(body), media_type="text/event-stream")
        return JSONResponse(self._scored(body))

    async def _stream(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        self.in_flight += 1
        try:
            if body["prompt"][0] == HANG:
                await asyncio.Event().wait()
            for event in self._events(body):
                yield b"data: " + json.dumps(event).encode() + b"\n\n"
                await asyncio.sleep(0.001)
            yield b"data: [DONE]\n\n"
        finally:
            self.in_flight -= 1

    def _events(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        context = tuple(body["prompt"])
        for left in range(body["max_tokens"] - 1, -1, -1):
            token = token_after(body["model"], context)
            ended = token in body["stop_token_ids"]
            choice: dict[str, Any] = {"index": 0, "text": "", "token_ids": [token]}
            if body.get("logprobs") is not None:
                choice["logprobs"] = self._told(body, context, token)
            if not left or ended:
                choice["finish_reason"] = "stop" if ended else "length"
            yield {"choices": [choice]}
            if body["prompt"][0] == FAIL:
                yield {"error": {"message": "EngineCore died", "code": 500}}
            if body["prompt"][0] == GIVE_UP:
                yield {"choices": [{"index": 0, "text": "", "finish_reason": "abort"}]}
            if ended:
                return
            context += (token,)

    def _told(self, body: dict[str, Any], context: tuple[int, ...], token: int) -> dict[str, Any]:
        names = body.get("logprob_token_ids") or range(token, token + body["logprobs"])
        row = {
            f"token_id:{one}": logprob_of(body["model"], context, one) for one in (token, *names)
        }
        return {"token_logprobs": [row[f"token_id:{token}"]], "top_logprobs": [row]}

    def _scored(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = tuple(body["prompt"])
        assert len(body["logprob_token_ids"]) == body["logprobs"] <= 128
        token = token_after(body["model"], prompt)
        told = self._told(body, prompt, token)
        return {"choices": [{"index": 0, "text": "", "token_ids": [token], "logprobs": told}]}

    def _refusal(self, request: Request) -> Response | None:
        wanted = f"Bearer {self.key}"
        return _error(401) if self.key and request.headers.get("authorization") != wanted else None


def _error(status: int) -> Response:
    return JSONResponse({"error": {"message": "no", "code": status}}, status_code=status)


@asynccontextmanager
async def running_fake(fake: FakeVllm) -> AsyncIterator[str]:
    """Its address, while it serves in this process."""
    config = uvicorn.Config(
        fake.app(), port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    host, port = server.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    await task


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--served-model-name")
    parser.add_argument("--refuses", action="store_true")
    asked, _ = parser.parse_known_args()
    if asked.refuses:
        raise SystemExit("this is no model")
    fake = FakeVllm(asked.served_model_name, key=os.environ["VLLM_API_KEY"])
    uvicorn.run(fake.app(), host="127.0.0.1", port=asked.port, log_level="warning")


if __name__ == "__main__":
    main()
