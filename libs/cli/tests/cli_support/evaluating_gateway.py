"""A gateway that stores files and has one evaluation that has ended, with rows for a judge."""

import hashlib
import json
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from http.server import ThreadingHTTPServer
from typing import Any

from cli_support.gateways import Handler
from cli_support.teachers import answer_chat

JOB = "job-0123456789abcdef0123456789abcdef"


class EvaluatingGateway(ThreadingHTTPServer):
    """Remembers what it is sent; `summary`, `rows` and `versions` may be changed at any time."""

    daemon_threads = True

    def __init__(self, summary: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.summary = summary
        self.files: list[dict[str, Any]] = []
        """Records, the newest first."""
        self.contents: dict[str, bytes] = {}
        self.orders: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        """Of the evaluation."""
        self.versions: dict[str, str] = {}
        """By alias; any other name is a version."""
        self.answers: Callable[[str], str] = str
        """What a served model says to a prompt."""
        self.chats: list[dict[str, Any]] = []
        """Bodies of requests to it."""

    @property
    def job(self) -> dict[str, Any]:
        return {"id": JOB, "status": "succeeded", "result": {"summary": self.summary}}


class _Handler(Handler):
    server: EvaluatingGateway

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        *_, before, last = path.split("/")
        if path == "/v1/files":
            self._answer({"data": self.server.files, "has_more": False})
        elif last == "content":
            self.answer(self.server.contents[before])
        elif last == "events":
            event = {"id": "state-1", "message": "succeeded", "data": {"status": "succeeded"}}
            self.answer(f"id: state-1\ndata: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
        elif last == "report":
            self.answer("".join(json.dumps(row) + "\n" for row in self.server.rows).encode())
        elif before == "models":
            version_id = self.server.versions.get(last, last)
            self._answer({"id": last, "version_id": version_id})
        else:
            self._answer(self.server.job)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/evaluations":
            self.server.orders.append(json.loads(body))
            self._answer(self.server.job)
            return
        if self.path == "/v1/chat/completions":
            asked = json.loads(body)
            self.server.chats.append(asked)
            said = self.server.answers(asked["messages"][0]["content"])
            answer_chat(self, asked["model"], said)
            return
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        parts = BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()
        [sent] = [part for part in parts if part.get_filename()]
        content = sent.get_payload(decode=True)
        assert isinstance(content, bytes)
        file = {
            "id": f"file-{len(self.server.files) + 1}",
            "filename": sent.get_filename(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        self.server.files.insert(0, file)
        self.server.contents[file["id"]] = content
        self._answer(file)

    def _answer(self, document: Any) -> None:
        self.answer(json.dumps(document).encode())
