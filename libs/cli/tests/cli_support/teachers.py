"""A server with the chat route of an OpenAI-compatible API, which answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

from cli_support.gateways import Handler

Answers = Callable[[str], str | int]
"""What is said to a prompt, or the status that it is refused with."""
INPUT_TOKENS, OUTPUT_TOKENS = 100, 20
"""Of each answer."""


class TeacherServer(ThreadingHTTPServer):
    """Answers and remembers; `answers` may be changed at any time."""

    daemon_threads = True
    answers: Answers

    def __init__(self, answers: Answers) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.prompts: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.model = ""
        """As which it answers; empty for what was asked for."""
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(Handler):
    server: TeacherServer
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions"
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = body["messages"][0]["content"]
        with self.server.lock:
            self.server.prompts.append(prompt)
            self.server.bodies.append(body)
            self.server.keys.append(self.headers["authorization"])
        said = self.server.answers(prompt)
        if isinstance(said, int):
            self.answer(json.dumps({"error": {"message": f"status {said}"}}).encode(), said)
            return
        answer_chat(self, self.server.model or body["model"], said)


def answer_chat(handler: Handler, model: str, said: str) -> None:
    """Answer as the chat route does."""
    choice = {"index": 0, "finish_reason": "stop"}
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
    completion = {
        **{"id": "c", "object": "chat.completion", "created": 1, "model": model},
        "choices": [choice | {"message": {"role": "assistant", "content": said}}],
        "usage": usage | {"total_tokens": INPUT_TOKENS + OUTPUT_TOKENS},
    }
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.end_headers()
    handler.wfile.write(json.dumps(completion).encode())


@contextmanager
def teaching(answers: Answers) -> Iterator[TeacherServer]:
    """A server that runs."""
    with TeacherServer(answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def passage_of(prompt: str) -> str:
    """The passage that a prompt asks about."""
    return prompt.partition("Passage:\n")[2] or prompt.partition("文字：\n")[2]


def pairs(*given: tuple[str, str]) -> str:
    """What a teacher says."""
    listed = [{"question": question, "answer": answer} for question, answer in given]
    return json.dumps({"pairs": listed}, ensure_ascii=False)
