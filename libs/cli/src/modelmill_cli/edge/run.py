# SPDX-License-Identifier: Apache-2.0
"""Runs the model beside it: `python run.py "question"`, or `python run.py serve`.

Needs what requirements.txt names. `serve` answers as OpenAI's API does, one request at a time.
"""

import argparse
import json
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MOST_BODY_BYTES, MOST_STOPS, SEEDS, SOCKET_SECONDS = 1 << 20, 16, 1 << 31, 30.0
JSON, EVENTS = "application/json", "text/event-stream"
NOT_TAKEN = ("tools", "functions", "response_format", "logprobs", "logit_bias", "audio")
LIMITS = ("temperature", 1.0, 0, 2), ("top_p", 1.0, 1e-6, 1), ("max_tokens", 0, 0, 1 << 30)


class RefusalError(Exception):
    """What a caller must change, with its status of HTTP and OpenAI's code."""

    def __init__(self, message: str, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Model:
    """The bundle's model, for one text at a time."""

    def __init__(self, threads: int = 0) -> None:
        self.facts: dict[str, Any] = json.loads((HERE / "bundle.json").read_text("utf-8"))
        self.engine: Any = import_module("runtime").open_engine(HERE / "model", threads)

    def answer(self, messages: Sequence[Any], **options: Any) -> Generator[str, None, None]:
        """Pieces of the answer, as they come; greedy, unless `options` says otherwise."""
        try:
            self.prompt: list[int] = self.engine.encode(messages)
        except RuntimeError as error:
            raise RefusalError(f"the chat template refuses the messages: {error}") from None
        if (room := self.facts["context_tokens"] - len(self.prompt)) < 1:
            said = f"the messages are {1 - room} tokens too long. Shorten them"
            raise RefusalError(said, code="context_length_exceeded")
        most, stops = min(options.pop("max_tokens", 0) or room, room), options.pop("stop", ())
        self.tokens, self.finish_reason, held = 0, "length", ""
        for text in self._texts(**{"temperature": 0.0, "max_tokens": most} | options):
            held += text
            if found := [at for stop in stops if (at := held.find(stop)) >= 0]:
                self.finish_reason, held = "stop", held[: min(found)]
                break
            # What may be the beginning of a stop text waits until it is none.
            begun = [n for stop in stops for n in range(len(stop)) if held.endswith(stop[:n])]
            cut = len(held) - max(begun, default=0)
            yield held[:cut]
            held = held[cut:]
        yield held

    def _texts(self, **options: Any) -> Iterator[str]:
        """What each token adds, once its characters are whole."""
        ends, decode = self.facts["end_tokens"], self.engine.decode
        last: list[int] = []  # given out; what follows decodes as in the middle of a text
        fresh: list[int] = []
        for token in self.engine.generate(self.prompt, ends, **options):
            self.tokens += 1
            if token in ends:
                self.finish_reason = "stop"
                break
            fresh.append(token)
            if not (text := decode(last + fresh)).endswith("\ufffd"):
                yield text[len(decode(last)) :]
                last, fresh = fresh, []
        yield decode(last + fresh)[len(decode(last)) :]


def options_of(body: Any, name: str) -> dict[str, Any]:
    """Arguments of `Model.answer` from a request's body."""
    if not isinstance(body, dict) or not isinstance(turns := body.get("messages"), list):
        raise RefusalError("the body must be a JSON object with a list of messages")
    if body.get("model", name) != name:
        raise RefusalError(f"there is no such model. Use {name}", 404, "model_not_found")
    if given := [key for key in NOT_TAKEN if body.get(key)] + ["n"] * (body.get("n", 1) != 1):
        raise RefusalError(f"{given[0]} is not supported here", code="unsupported_parameter")
    texts = [turn.get(key) for turn in turns if type(turn) is dict for key in ("role", "content")]
    if not turns or len(texts) < 2 * len(turns) or any(type(text) is not str for text in texts):
        raise RefusalError("messages must be objects with role and content, both texts")
    stops = stop if type(stop := body.get("stop") or []) is list else [stop]
    if len(stops) > MOST_STOPS or not all(type(it) is str and it for it in stops):
        raise RefusalError(f"stop must be a text, or up to {MOST_STOPS} texts")
    body["max_tokens"] = body.get("max_completion_tokens") or body.get("max_tokens")
    found: dict[str, Any] = {"messages": turns, "stop": stops}
    for key, default, low, high in (*LIMITS, ("seed", time.time_ns() % SEEDS, 0, SEEDS)):
        found[key] = value = default if body.get(key) is None else body[key]
        if type(value) not in (int, type(default)) or not low <= value <= high:
            raise RefusalError(f"{key} must be a number within {low:g} and {high:g}")
    return found


class Handler(BaseHTTPRequestHandler):
    """OpenAI's API, as far as a model alone can answer it."""

    model: Model
    turn = threading.Lock()
    timeout, is_streaming = SOCKET_SECONDS, False

    def do_GET(self) -> None:
        known = {"id": self.model.facts["name"], "object": "model", "owned_by": "modelmill"}
        if self.path != "/v1/models":
            return self.fail(RefusalError("there is nothing here. See /v1/models", 404))
        self.write({"object": "list", "data": [known | {"created": 0}]})

    def do_POST(self) -> None:
        try:
            options = options_of(body := self.body(), self.model.facts["name"])
            with self.turn, closing(self.model.answer(**options)) as pieces:
                self.complete(pieces, is_stream=bool(body.get("stream")))
        except RefusalError as error:
            self.fail(error)
        except (ConnectionError, TimeoutError):
            self.log_message("the caller has left")
        except Exception as error:
            self.log_message("%r", error)
            self.fail(RefusalError("the answer failed. Read what run.py said", 500))

    def body(self) -> Any:
        """The request's body, of bounded size; no page of a browser can send its type unasked."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BODY_BYTES:
            raise RefusalError(f"Content-Length must be at most {MOST_BODY_BYTES}", 413)
        text = self.rfile.read(int(length))  # what nobody reads would cut off the answer
        if self.path != "/v1/chat/completions":
            raise RefusalError("there is nothing here. Post to /v1/chat/completions", 404)
        if self.headers.get_content_type() != JSON:
            raise RefusalError("the body must be of the type application/json", 415)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise RefusalError("the body is not JSON") from None

    def complete(self, pieces: Iterator[str], *, is_stream: bool) -> None:
        model, kind = self.model, "chat.completion.chunk" if is_stream else "chat.completion"
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time())}

        def said(reason: str | None, **words: Any) -> dict[str, Any]:
            usage = {"prompt_tokens": len(model.prompt), "completion_tokens": model.tokens}
            choice = {"index": 0, "finish_reason": reason, **words}
            whole = {"usage": usage | {"total_tokens": sum(usage.values())}} if reason else {}
            return head | {"model": model.facts["name"], "choices": [choice]} | whole

        if not is_stream:
            message = {"role": "assistant", "content": "".join(pieces)}
            return self.write(said(model.finish_reason, message=message))
        for text in filter(None, pieces):
            self.write(said(None, delta={"role": "assistant", "content": text}), EVENTS)
        self.write(said(model.finish_reason, delta={}), EVENTS)
        self.wfile.write(b"data: [DONE]\n\n")

    def fail(self, error: RefusalError) -> None:
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        said = {"message": str(error), "type": kind, "param": None, "code": error.code}
        self.write({"error": said}, status=error.status)

    def write(self, said: dict[str, Any], kind: str = JSON, status: int = 200) -> None:
        """A whole response, or the next event of one that has begun as a stream of them."""
        if not self.is_streaming:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.is_streaming = kind == EVENTS
        text = json.dumps(said)
        self.wfile.write((f"data: {text}\n\n" if self.is_streaming else text).encode())


def main() -> None:
    """Answer one question, or serve."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("prompt", help="a question, or serve")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--host", default="127.0.0.1", help="no key is asked for")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    given = parser.parse_args()
    Handler.model = model = Model(given.threads)
    if given.prompt == "serve":
        server = ThreadingHTTPServer((given.host, given.port), Handler)
        print(f"http://{given.host}:{server.server_port}/v1", flush=True)
        return server.serve_forever()
    turn = {"role": "user", "content": given.prompt}
    for text in model.answer([turn], max_tokens=given.max_tokens):
        print(text, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
