"""An HTTP server that speaks what a run needs of MLflow's API, and keeps its limits."""

import json
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class MlflowServer(ThreadingHTTPServer):
    """Speaks what a run needs of MLflow's HTTP API, and keeps its limits."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.refusals = 0
        """So many calls are answered with 503 first."""
        self.tokens: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refusals:
            self.refusals -= 1
            return 503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": ""}
        name = method.replace("/", "_").replace("-", "_")
        answer: tuple[int, dict[str, Any]] = getattr(self, name)(**asked)
        return answer

    def experiments_get_by_name(self, experiment_name: str) -> tuple[int, dict[str, Any]]:
        if experiment_name not in self.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": ""}
        return 200, {"experiment": {"experiment_id": self.experiments[experiment_name]}}

    def experiments_create(self, name: str) -> tuple[int, dict[str, Any]]:
        if name in self.experiments:
            return 400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": ""}
        self.experiments[name] = str(len(self.experiments) + 1)
        return 200, {"experiment_id": self.experiments[name]}

    def runs_search(
        self, experiment_ids: list[str], filter: str, max_results: int
    ) -> tuple[int, dict[str, Any]]:
        key, value = filter.removeprefix("tags.`").split("` = ")
        found = [
            {"info": {"run_id": run_id}}
            for run_id, run in self.runs.items()
            if run["tags"].get(key) == value.strip("'") and run["experiment_id"] in experiment_ids
        ]
        return 200, {"runs": found[:max_results]} if found else {}

    def runs_create(
        self, experiment_id: str, run_name: str, start_time: int, tags: list[dict[str, str]]
    ) -> tuple[int, dict[str, Any]]:
        run_id = f"run{len(self.runs) + 1}"
        self.runs[run_id] = {
            "experiment_id": experiment_id,
            "name": run_name,
            "status": "RUNNING",
            "tags": {tag["key"]: tag["value"] for tag in tags},
            "params": {},
            "metrics": defaultdict(list),
        }
        return 200, {"run": {"info": {"run_id": run_id}}}

    def runs_log_batch(
        self,
        run_id: str,
        metrics: list[dict[str, Any]] = [],  # noqa: B006 - only read
        params: list[dict[str, str]] = [],  # noqa: B006
    ) -> tuple[int, dict[str, Any]]:
        if len(metrics) > 1000 or len(params) > 100:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "too many"}
        run = self.runs[run_id]
        for param in params:
            if run["params"].setdefault(param["key"], param["value"]) != param["value"]:
                return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "changed"}
        for metric in metrics:
            run["metrics"][metric["key"]].append((metric["step"], metric["value"]))
        return 200, {}

    def runs_set_tag(self, run_id: str, key: str, value: str) -> tuple[int, dict[str, Any]]:
        self.runs[run_id]["tags"][key] = value
        return 200, {}

    def runs_update(
        self, run_id: str, status: str, end_time: int = 0
    ) -> tuple[int, dict[str, Any]]:
        self.runs[run_id] |= {"status": status, "end_time": end_time}
        return 200, {"run_info": {}}


class _Handler(BaseHTTPRequestHandler):
    server: MlflowServer

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self._answer({name: values[0] for name, values in query.items()})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        # As MLflow's: NaN is no JSON.
        self._answer(json.loads(content, parse_constant=lambda name: 1 / 0))

    def _answer(self, asked: dict[str, Any]) -> None:
        self.server.tokens.add(self.headers.get("authorization", ""))
        method = urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/")
        status, body = self.server.answer(method, asked)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
