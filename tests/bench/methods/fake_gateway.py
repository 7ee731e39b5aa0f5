"""The gateway's API as the benchmark uses it, in memory: jobs end as soon as they are ordered.

`tests.bench.methods.contract` holds for it and for a real stack. What that cannot see: how long
anything takes, what data-prep drops, and what a model learns; here every answer of the test rows is
right for an arm whose learning rate is above 0.001, and every second one for all others.
"""

import json
from collections import Counter
from typing import Any

import httpx
from modelmill_client import Modelmill

Record = dict[str, Any]

DATASETS, TRAINING, EVALUATIONS = "/v1/datasets", "/v1/fine_tuning/jobs", "/v1/evaluations"
TEST_SHARE = 4
"""One row of so many is for the test."""


class FakeGateway:
    """One tenant's files, datasets, models and jobs."""

    def __init__(self) -> None:
        self.client = Modelmill("http://fake", "token", transport=httpx.MockTransport(self._asked))
        self.failures: Counter[str] = Counter()
        """Of jobs of a kind, the next so many tries fail."""
        self._by_key: dict[str, tuple[Any, Record]] = {}
        self._shown: dict[str, Record] = {"base": {"id": "mv-base", "name": "tiny"}}
        self._shown["base"] |= {"form": "safetensors", "size_bytes": 900, "job_id": None}
        self._rows: dict[str, list[Record]] = {}
        self._answers: dict[str, str] = {"mv-base": "some"}

    def _asked(self, request: httpx.Request) -> httpx.Response:
        path, content = request.url.path, request.read()
        try:
            if path == "/v1/files":
                answer: Any = self._upload(content.split(b"\r\n\r\n")[-1].split(b"\r\n--")[0])
            elif path.endswith("/report"):
                return self._report(path)
            elif request.method == "POST":
                key = request.headers.get("idempotency-key", "")
                answer = self._post(path, json.loads(content or b"{}"), key)
            else:
                answer = self.get(path)
        except KeyError as error:
            return httpx.Response(404, json={"error": {"message": f"no {error}"}})
        return httpx.Response(200, json=answer)

    def _upload(self, content: bytes) -> Record:
        """A file of JSON lines; the last part of a form."""
        shown = self._show("/v1/files", {"id": f"file-{len(self._shown)}"})
        self._rows[shown["id"]] = [json.loads(line) for line in content.splitlines()]
        return shown

    def get(self, path: str) -> Any:
        """What is shown under a path, or a list of it."""
        if path == "/v1/models":
            return {"data": [each for each in self._shown.values() if "form" in each]}
        if path == "/v1/jobs":
            return {"data": [each for each in self._shown.values() if "kind" in each]}
        return self._shown[path]

    def _post(self, path: str, body: Any, key: str) -> Any:
        """An order, or a desired state."""
        if path.endswith("/resume"):
            job = self._shown[path.removesuffix("/resume")]
            job["status"] = self._end(job["kind"])
            return job
        ordered, answer = self._by_key.get(key, (body, None))
        if ordered != body:
            raise KeyError(f"{key} was used for another order")
        if answer is None:
            make = {DATASETS: self._dataset, TRAINING: self._train, EVALUATIONS: self._evaluate}
            answer = make[path](json.loads(json.dumps(body)))
            self._by_key[key or f"no key {len(self._by_key)}"] = (body, answer)
        return answer

    def _report(self, path: str) -> httpx.Response:
        """The rows of an evaluation."""
        job = self.get(f"/v1/jobs/{path.split('/')[3]}")
        return httpx.Response(200, text="".join(json.dumps(line) + "\n" for line in job["lines"]))

    def _dataset(self, body: Record) -> Record:
        dataset = f"ds-{len(self._shown)}"
        rows = self._rows[body["file_id"]]
        test = len(rows) // TEST_SHARE
        summary = {"train": float(len(rows) - test), "valid": 0.0, "test": float(test)}
        job = self._job("dataset", {"summary": summary})
        column = body["mapping"]["answer_template"][1:-1]
        self._rows[dataset] = [
            {"row": str(number + 1), "reference": row[column]}
            for number, row in enumerate(rows[len(rows) - test :])
        ]
        self._show(DATASETS, {"id": dataset, "status": "ready"})
        return {"id": dataset, "job_id": job["id"]}

    def _train(self, body: Record) -> Record:
        version = f"mv-{len(self._shown)}"
        learned = body["hyperparameters"].get("learning_rate", 0) > 0.001
        self._answers[version] = "all" if learned else "some"
        summary = {"train_seconds": 2.0, "unit_seconds": 6.0, "train_tokens": 100.0, "flops": 1e9}
        spec = {"base_version_id": body["model"], "dataset_id": body["training_file"]}
        job = self._job("train", {"version_id": version, "summary": summary}, spec=spec)
        form = "safetensors" if body["training_method"] == "full" else "adapter"
        made = {"id": version, "form": form, "size_bytes": 50, "job_id": job["id"]}
        self._show("/v1/models", made)
        return job

    def _evaluate(self, body: Record) -> Record:
        knows_all = self._answers[body["model"]] == "all"
        lines = [
            row | {"model": {"scores": {"accuracy": float(knows_all or number % 2)}}}
            for number, row in enumerate(self._rows[body["dataset_id"]][: body["max_rows"]])
        ]
        right = [line["model"]["scores"]["accuracy"] for line in lines]
        value = sum(right) / len(right)
        accuracy = {"value": value, "low": max(value - 0.1, 0), "high": min(value + 0.1, 1)}
        suites = {"dataset": {"measures": {"accuracy": {"model": accuracy}}}}
        spec = {"model": body["model"], "dataset_id": body["dataset_id"]}
        return self._job("evaluate", {"summary": {"suites": suites}}, lines=lines, spec=spec)

    def _job(self, kind: str, result: Record, **more: Any) -> Record:
        job = {"id": f"job-{len(self._shown)}", "kind": kind, "status": self._end(kind)}
        return self._show("/v1/jobs", job | {"result": result} | more)

    def _end(self, kind: str) -> str:
        if not self.failures[kind]:
            return "succeeded"
        self.failures[kind] -= 1
        return "failed"

    def _show(self, path: str, record: Record) -> Record:
        return self._shown.setdefault(f"{path}/{record['id']}", record)
