"""A gateway that keeps a policy, or says which default rules would go."""

import json
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from modelmill_cli.app import run_app

from cli_support.gateways import Handler

POLICY = """rules:
- {id: fruit, category: illicit, severity: high, action: block, directions: both,
   keywords: [forbidden fruit]}
- {id: mail, category: pii, severity: low, action: mask, directions: both, detector: email}
- {id: leak, category: prompt-leak, severity: low, action: flag, directions: input,
   keywords: [system prompt]}
"""
DEFAULT = """rules:
- {id: number, category: pii, severity: low, action: mask, directions: both, detector: iban}
"""
VERSION = {
    "object": "moderation.policy",
    "tenant": "demo",
    "version": 2,
    "digest": "sha256:two",
    "follows_shared": False,
    "restores_version": 1,
    "changed_by": "ann\x1b[2J",
    "changed_at": 1,
}
CHANGES = {
    "added_rules": ["fruit"],
    "removed_rules": [],
    "changed_rules": ["mail"],
    "changed_settings": [],
}


class PolicyGateway(ThreadingHTTPServer):
    """Keeps what it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _PolicyHandler)
        self.asked: list[tuple[str, str, Any]] = []
        self.name = "ours.yaml"
        self.removes: list[str] = []
        """Default rules that would go."""


class _PolicyHandler(Handler):
    server: PolicyGateway

    def do_GET(self) -> None:
        self._asked()
        if self.path.endswith("/versions"):
            self._answer({"object": "list", "data": [VERSION], "has_more": False})
        else:
            document = {"name": self.server.name, "text": POLICY}
            beside = {"name": "default.yaml", "text": DEFAULT}
            self._answer({**VERSION, "documents": [document], "default_documents": [beside]})

    def do_PUT(self) -> None:
        body = self._asked()
        self._change(body, written=not body["dry_run"])

    def do_POST(self) -> None:
        self._change(self._asked(), written=True)

    def _change(self, body: Any, *, written: bool) -> None:
        named = body.get("remove_default_rules", [])
        unnamed = [rule for rule in self.server.removes if rule not in named]
        if unnamed and written:
            error = {"message": "x", "code": "default_rules_would_go", "default_rules": unnamed}
            self.answer(json.dumps({"error": error}).encode(), 409)
            return
        beside = [{"name": "default.yaml", "text": DEFAULT}]
        self._answer(
            {**VERSION, "written": written, "changes": CHANGES, "default_documents": beside}
            | {"removed_default_rules": self.server.removes, "unconfirmed_default_rules": unnamed}
        )

    def _asked(self) -> Any:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        said = json.loads(body) if body else None
        self.server.asked.append((self.command, self.path.partition("?")[0], said))
        return said

    def _answer(self, fields: Any) -> None:
        self.answer(json.dumps(fields).encode())


def said(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    assert run_app(["moderation", *map(str, words)]) == status
    read = capsys.readouterr()
    return read.out + read.err
