"""A gateway on which a recipe's jobs were all done before, or none was."""

import json
from hashlib import sha256
from http.server import ThreadingHTTPServer
from typing import Any

from cli_support.gateways import Handler

ROWS = "".join(json.dumps({"q": f"question {n}", "a": "yes"}) + "\n" for n in range(20))
RECIPE = """name: x
base: some-base
data:
  files: rows.jsonl
  mapping: {user_template: "{q}", answer_template: "{a}"}
evaluation:
  measures: [accuracy]
"""
UNKNOWN = "some-bas"
"""A name that no model has."""
SHARE = {"value": 0.75, "mean": 0.75, "low": 0.65, "high": 0.85}
SCORE = {"value": 0.75, "low": 0.65, "high": 0.85}
SUITE = {"measures": {"accuracy": {"model": SHARE}}, "rows": 2}
SUMMARY = {
    **{"learned": True, "accuracy_tuned": SHARE, "rows_in": 20, "train": 16, "test": 2},
    **{"suites": {"test": SUITE}},
}


class RecipeGateway(ThreadingHTTPServer):
    """Has done everything, or nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.is_done = True
        self.protections: list[dict[str, Any]] = []
        self.posted: list[str] = []
        self.bodies: list[Any] = []
        """Of orders."""
        self.more_files: list[dict[str, Any]] = []
        self.contents: dict[str, bytes] = {}
        self.rows: list[dict[str, Any]] = []
        """Of the evaluation."""

    def answer_to(self, method: str, path: str) -> Any:
        job = {"id": "job-1", "kind": "train", "status": "succeeded", "cost": {"work_seconds": 4}}
        summary = SUMMARY | {"protections": self.protections}
        job |= {"spec": {}, "result": {"version_id": "mv-1", "summary": summary}}
        if method == "POST":
            self.posted.append(path)
            return {"id": "ds-1", "job_id": "job-1"}
        if path.startswith("/v1/models/"):
            facts = {"digest": "sha256:1", "size_bytes": 1000, "serving_version_id": "mv-1"}
            return facts | {"id": path.rpartition("/")[2]}
        one: dict[str, Any] = {
            "/v1/jobs/job-1": job,
            "/v1/datasets/ds-1": {"digest": "sha256:d"},
            "/v1/files/file-1": {"filename": "rows.jsonl", "sha256": "ab"},
        }
        file = {"id": "file-1", "filename": "a.jsonl", "sha256": sha256(ROWS.encode()).hexdigest()}
        lists: dict[str, list[Any]] = {
            "/v1/jobs": [job],
            "/v1/files": [file, *self.more_files],
            "/v1/datasets": [{"id": "ds-1", "job_id": "job-1", "counts": {}}],
            "/v1/aliases": [{"name": "x", "version_id": "mv-1"}],
        }
        return one.get(path) or {"data": lists.get(path, []) if self.is_done else []}


class _Handler(Handler):
    server: RecipeGateway

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.do_GET()

    def do_GET(self) -> None:
        *_, before, last = self.path.partition("?")[0].split("/")
        if last == UNKNOWN:
            self.answer(json.dumps({"error": {"message": f"no model {last}"}}).encode(), 404)
            return
        if last == "content":
            self.answer(self.server.contents[before])
            return
        if last == "report":
            self.answer("".join(json.dumps(row) + "\n" for row in self.server.rows).encode())
            return
        found = self.server.answer_to(self.command, self.path.partition("?")[0])
        self.answer(json.dumps(found).encode())
