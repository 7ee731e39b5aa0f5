"""Evaluations as the trainer has them, beside a gateway whose trainer is faked but for the rows."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.json_format import ParseDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobResult
from modelmill.trainer.v1.evaluation_pb2 import (
    ListEvaluationRowsRequest,
    ListEvaluationRowsResponse,
)
from modelmill_trainer.domain.evaluation_rows import rows_page
from modelmill_trainer.entrypoints.evaluation_rows import filter_of, page_message

from tests.browser.console_place import ask
from tests.browser.live_gateway import LiveGateway

SHORT, LONG = "0-200", "201-1000"
ESTIMATE = {"value": 0.75, "low": 0.6, "high": 0.9, "rows": 40}
DIFFERENCE = {"value": 0.125, "low": 0.05, "high": 0.2, "rows": 40}
COMPARISON = {"difference": DIFFERENCE, "won": 0.25, "lost": 0.125, "tied": 0.625, "is_clear": True}
MEASURES = {
    "accuracy": {
        **{"model": ESTIMATE, "compare_to": {**ESTIMATE, "value": 0.625}},
        "comparison": COMPARISON,
    },
    "perplexity": {"model": {**ESTIMATE, "value": 3.5}},
}
GROUPS = {
    SHORT: {"rows": 30, "measures": {"accuracy": {"model": {**ESTIMATE, "value": 0.875}}}},
    LONG: {"rows": 10, "measures": MEASURES},
}
WHY = "0.5 is worse than 0.6"
ACCURATE = {"measure": "accuracy", "suite": ""}
PROTECTIONS = [
    {**ACCURATE, "slice_by": "", "slice_value": "", "passed": True, "why": ""},
    {**ACCURATE, "slice_by": "length", "slice_value": LONG, "passed": False, "why": WHY},
]
MODELS = {
    "model": {"asked": "default", "version_id": "mv-build"},
    "compare_to": {"asked": "mv-base", "version_id": "mv-base"},
}


def evaluated_row(number: int, said: str, *, right: bool, other: str = "stone") -> dict[str, Any]:
    """A row in which the second model says something else, and is wrong."""
    return {
        **{"suite": "dataset", "row": str(number), "prompt_sha256": "9f", "reference": "plant"},
        "prompt": f"what is {number}? {said}",
        "slices": {"length": LONG if number % 4 == 0 else SHORT},
        "model": {"answer": said, "scores": {"accuracy": float(right), "bleu": 12.5}},
        "compare_to": {"answer": other, "scores": {"accuracy": 0.0}},
    }


def evaluated_rows(count: int) -> Iterator[dict[str, Any]]:
    """Every third is wrong; every fifth both models answer alike."""
    for number in range(1, count + 1):
        other = f"leaf {number}" if number % 5 == 0 else "stone"
        yield evaluated_row(number, f"leaf {number}", right=number % 3 != 0, other=other)


def evaluate(gateway: LiveGateway, rows: Iterable[dict[str, Any]]) -> str:
    """An evaluation that has found these rows, and the figures above; its id."""
    order = {"compare_to": "mv-base", "dataset_id": "ds-x", "slices": [{"by": "length"}]}
    job = ask(gateway, gateway.token(), "POST", "/v1/evaluations", model="default", **order)
    job_id = str(job["id"])
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    suite = {"rows": len(lines), "measures": MEASURES, "shown": ["accuracy", "perplexity"]}
    summary = {"models": MODELS, "suites": {"dataset": suite}, "suite": None}
    summary |= {"protections": PROTECTIONS, "passed": False}
    report = {"suites": [{"name": "dataset", **suite, "slices": {"length": GROUPS}}]}
    gateway.evaluated_lines[job_id] = lines
    gateway.house.trainer.list_rows = lambda request: _listed(gateway, request)
    gateway.house.trainer.reports[job_id] = json.dumps(report).encode()
    made = ParseDict({"digest": f"sha256:{'6' * 64}", "summary": summary}, JobResult())
    gateway.say_state(job_id, JOB_STATUS_SUCCEEDED, kind="evaluate", result=made)
    return job_id


def _listed(gateway: LiveGateway, request: ListEvaluationRowsRequest) -> ListEvaluationRowsResponse:
    """As the trainer does, from lines in place of a file."""
    lines = gateway.evaluated_lines[request.job_id]
    page = rows_page(lines, request.after, request.limit, filter_of(request.filter))
    return page_message(page)
