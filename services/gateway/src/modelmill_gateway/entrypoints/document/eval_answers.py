"""Shapes of evals, their runs and rows, with examples."""

from typing import Any, Literal

from pydantic import Field

from modelmill_gateway.entrypoints.bodies.eval_body import CriterionBody
from modelmill_gateway.entrypoints.document.examples import AT, MODEL
from modelmill_gateway.entrypoints.document.shape import Answer, Page


class EvalDataSourceConfig(Answer):
    """What rows have; the schema is of a whole row, `item` and `sample`."""

    type: Literal["custom"]
    schema_: dict[str, Any] = Field(alias="schema")


class Eval(Answer):
    """Eval: how answers are graded."""

    id: str
    object: Literal["eval"]
    created_at: int
    name: str
    data_source_config: EvalDataSourceConfig
    testing_criteria: list[CriterionBody]
    metadata: dict[str, str]


class EvalPage(Page[Eval]):
    """Page of evals."""


class DeletedEval(Answer):
    """Confirmation that an eval is deleted."""

    object: Literal["eval.deleted"]
    deleted: Literal[True]
    eval_id: str


class EvalError(Answer):
    """Error in place of an answer."""

    code: str
    message: str


class EvalCounts(Answer):
    """Row counts: total, passed by every criterion, failed by one, and errored."""

    total: int
    passed: int
    failed: int
    errored: int


class EvalCriterionCounts(Answer):
    """Counts of one criterion."""

    testing_criteria: str
    passed: int
    failed: int


class EvalModelUsage(Answer):
    """Usage of a model, for samples and grades."""

    model_name: str
    invocation_count: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int


class EvalRun(Answer):
    """Run of an eval: rows that are sampled and graded. Results are present once it has ended."""

    id: str
    object: Literal["eval.run"]
    created_at: int
    eval_id: str
    name: str
    model: str
    status: Literal["queued", "in_progress", "completed", "failed", "canceled"]
    data_source: dict[str, Any]
    result_counts: EvalCounts
    per_testing_criteria_results: list[EvalCriterionCounts]
    per_model_usage: list[EvalModelUsage]
    report_url: str
    error: EvalError | None
    metadata: dict[str, str]


class EvalRunPage(Page[EvalRun]):
    """Page of runs of an eval."""


class DeletedEvalRun(Answer):
    """Confirmation that a run is deleted."""

    object: Literal["eval.run.deleted"]
    deleted: Literal[True]
    run_id: str


class EvalSample(Answer):
    """Sample: what a model was asked and answered."""

    error: EvalError | None
    finish_reason: str | None
    input: list[dict[str, Any]]
    model: str
    output: list[dict[str, str]]
    usage: dict[str, int] | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    max_completion_tokens: int | None


class EvalResult(Answer):
    """Result of one criterion for a row."""

    name: str
    type: str
    passed: bool
    score: float
    sample: EvalSample | None = None
    """Of the model that graded."""


class EvalOutputItem(Answer):
    """Output item: one row of a run."""

    id: str
    object: Literal["eval.run.output_item"]
    created_at: int
    run_id: str
    eval_id: str
    status: Literal["pass", "fail", "error"]
    datasource_item_id: int
    datasource_item: dict[str, Any]
    results: list[EvalResult]
    sample: EvalSample | None
    error: str | None


class EvalOutputItemPage(Page[EvalOutputItem]):
    """Page of output items."""


CRITERION = {
    "type": "string_check",
    "name": "kind",
    "input": "{{sample.output_text}}",
    "reference": "{{item.kind}}",
    "operation": "eq",
}
BODY = {
    "name": "kinds",
    "data_source_config": {
        "type": "custom",
        "item_schema": {"type": "object", "properties": {"text": {"type": "string"}}},
        "include_sample_schema": True,
    },
    "testing_criteria": [CRITERION],
}
EVAL = {
    "id": "eval-0b8f",
    "object": "eval",
    "created_at": AT,
    "name": "kinds",
    "data_source_config": {"type": "custom", "schema": {"type": "object"}},
    "testing_criteria": [CRITERION],
    "metadata": {},
}
RUN_BODY = {
    "name": "first",
    "data_source": {
        "type": "completions",
        "source": {"type": "file_id", "id": "file-91c3d8"},
        "model": MODEL,
        "input_messages": {
            "type": "template",
            "template": [{"role": "user", "content": "{{item.text}}"}],
        },
    },
}
RUN = {
    "id": "evalrun-77aa",
    "object": "eval.run",
    "created_at": AT,
    "eval_id": "eval-0b8f",
    "name": "first",
    "model": MODEL,
    "status": "completed",
    "data_source": RUN_BODY["data_source"],
    "result_counts": {"total": 100, "passed": 81, "failed": 19, "errored": 0},
    "per_testing_criteria_results": [{"testing_criteria": "kind", "passed": 81, "failed": 19}],
    "per_model_usage": [
        {
            "model_name": MODEL,
            "invocation_count": 100,
            "prompt_tokens": 2100,
            "completion_tokens": 200,
            "total_tokens": 2300,
            "cached_tokens": 0,
        }
    ],
    "report_url": "/v1/evals/eval-0b8f/runs/evalrun-77aa/output_items",
    "error": None,
    "metadata": {},
}
ITEM = {
    "id": "evalrun-77aa-0",
    "object": "eval.run.output_item",
    "created_at": AT + 60,
    "run_id": "evalrun-77aa",
    "eval_id": "eval-0b8f",
    "status": "pass",
    "datasource_item_id": 0,
    "datasource_item": {"text": "espresso: strong black coffee", "kind": "beverage"},
    "results": [{"name": "kind", "type": "string_check", "passed": True, "score": 1.0}],
    "sample": None,
    "error": None,
}
