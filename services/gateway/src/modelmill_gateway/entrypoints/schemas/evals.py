"""Evals, their runs, and rows of runs, as OpenAI's clients send and read them."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_bus.envelope import text_of
from modelmill_job_index.index import JobRecord
from pydantic import BeforeValidator, Field, Json, field_validator, model_validator

from modelmill_gateway.domain.errors import unsupported
from modelmill_gateway.domain.eval_rows import BY_MODEL, SIMILARITIES
from modelmill_gateway.entrypoints.schemas.base import ModelName, ResponseModel, UnixSeconds
from modelmill_gateway.entrypoints.schemas.parsing import Many, Metadata, OpenBody, parse_open

MAX_CRITERIA = 20
MAX_TURNS = 100
MAX_NAME_CHARS = 256
MAX_TEXT_CHARS = 16_384

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
CRITERION = {
    "type": "string_check",
    "name": "kind",
    "input": "{{sample.output_text}}",
    "reference": "{{item.kind}}",
    "operation": "eq",
}
DATA_SOURCE = {
    "type": "completions",
    "source": {"type": "file_id", "id": "file-91c3d8"},
    "model": "wordnet",
    "input_messages": {
        "type": "template",
        "template": [{"role": "user", "content": "{{item.text}}"}],
    },
}
"""Examples."""
TEXT_PARTS = ("input_text", "output_text", "text")


def _plain(content: Any) -> Any:
    """Text in one part as the text itself."""
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if isinstance(content, dict) and content.get("type") in TEXT_PARTS:
        return content.get("text")
    return content


class TurnBody(OpenBody):
    """One turn of a template; its text may have places, as `{{item.question}}`."""

    role: Literal["user", "assistant", "system", "developer"]
    content: Annotated[Text, BeforeValidator(_plain)] = Field(
        description="Text, or one part of type `input_text` or `output_text`."
    )


class GraderSampling(OpenBody):
    """How a grading model is asked."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)


class CriterionBody(OpenBody):
    """One thing that is asked of each answer.

    `string_check` and `text_similarity` compare `input` with `reference`; `score_model` and
    `label_model` ask `model` about the turns of `input`.
    """

    type: Literal["string_check", "text_similarity", "score_model", "label_model"]
    name: Name
    input: Text | Annotated[list[TurnBody], Field(min_length=1, max_length=MAX_TURNS)]
    reference: Text | None = None
    operation: Literal["eq", "ne", "like", "ilike"] | None = None
    evaluation_metric: str | None = Field(None, description=", ".join(SIMILARITIES))
    pass_threshold: float | None = None
    model: str | None = Field(None, min_length=1, max_length=256)
    labels: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = None
    passing_labels: Annotated[list[Name], Field(max_length=100)] | None = None
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    sampling_params: GraderSampling | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _is_served(cls, given: Any) -> Any:
        if given in ("python", "multi"):
            raise ValueError(f"graders of type {given} are not served")
        return given

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        needed = {
            "string_check": ("operation", "reference"),
            "text_similarity": ("evaluation_metric", "reference", "pass_threshold"),
            "score_model": ("model",),
            "label_model": ("model", "labels", "passing_labels"),
        }[self.type]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a {self.type} needs {', '.join(missing)}")
        if (self.type in BY_MODEL) != isinstance(self.input, list):
            wanted = "a list of turns" if self.type in BY_MODEL else "a text"
            raise ValueError(f"the input of a {self.type} is {wanted}")
        if self.evaluation_metric is not None and self.evaluation_metric not in SIMILARITIES:
            raise ValueError(f"evaluation_metric: one of {', '.join(SIMILARITIES)} is served")
        strange = set(self.passing_labels or ()) - set(self.labels or ())
        if strange:
            raise ValueError(f"passing_labels: {', '.join(sorted(strange))} is no label")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range: the lowest comes first")
        return self

    @property
    def definition(self) -> dict[str, Any]:
        """What is kept and shown."""
        return self.model_dump(exclude_none=True, include=set(type(self).model_fields))


class DataSourceConfigBody(OpenBody):
    """Data source of an eval: the fields of a row."""

    type: Literal["custom"] = Field(description="`logs` and `stored_completions` are not served.")
    item_schema: dict[str, Any] = Field(
        description="What each row's item is held to: a JSON schema, 2020-12 or draft-07.",
        examples=[{"type": "object", "properties": {"text": {"type": "string"}}}],
    )
    include_sample_schema: bool = Field(False, examples=[True])

    @property
    def definition(self) -> dict[str, Any]:
        """As it is kept and shown: the schema of a whole row."""
        properties: dict[str, Any] = {"item": self.item_schema}
        if self.include_sample_schema:
            properties["sample"] = {"type": "object"}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        return {"type": "custom", "schema": schema}


class EvalBody(OpenBody):
    """Request body of POST /v1/evals."""

    name: str = Field("", max_length=MAX_NAME_CHARS, examples=["kinds"])
    data_source_config: DataSourceConfigBody
    testing_criteria: list[CriterionBody] = Field(
        min_length=1, max_length=MAX_CRITERIA, examples=[[CRITERION]]
    )
    metadata: Metadata | None = None

    @field_validator("testing_criteria")
    @classmethod
    def _each_has_a_name_of_its_own(cls, given: list[CriterionBody]) -> list[CriterionBody]:
        if len({each.name for each in given}) < len(given):
            raise ValueError("two of them have the same name")
        return given


class ChangedEvalBody(OpenBody):
    """Request body of POST /v1/evals/{eval_id}."""

    name: Name | None = Field(None, examples=["kinds"])
    metadata: Metadata | None = None


class FileContentRow(OpenBody):
    """Row given inline."""

    item: dict[str, Any]
    sample: dict[str, Any] | None = None


class SourceBody(OpenBody):
    """Source of the rows."""

    type: Literal["file_id", "file_content"]
    id: str | None = Field(None, min_length=1, max_length=128)
    content: Annotated[Many[FileContentRow], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        needed = self.id if self.type == "file_id" else self.content
        if needed is None:
            raise ValueError(f"a {self.type} needs {'id' if self.type == 'file_id' else 'content'}")
        return self


class InputMessagesBody(OpenBody):
    """Messages to the model for each row."""

    type: Literal["template", "item_reference"]
    template: Annotated[list[TurnBody], Field(min_length=1, max_length=MAX_TURNS)] | None = None
    item_reference: str | None = Field(None, max_length=256, description="As `item.messages`.")

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if getattr(self, self.type) is None:
            raise ValueError(f"needs {self.type}")
        return self


class RunSampling(GraderSampling):
    """Sampling parameters; further fields are passed on to the chat."""

    max_completion_tokens: int | None = Field(None, ge=1)


class RunSourceBody(OpenBody):
    """Source of a run: rows, and for `completions` how each is answered."""

    type: Literal["jsonl", "completions"] = Field(description="`responses` is not served.")
    source: SourceBody
    model: str | None = Field(None, min_length=1, max_length=256)
    input_messages: InputMessagesBody | None = None
    sampling_params: RunSampling | None = None

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        if self.type == "completions" and (self.model is None or self.input_messages is None):
            raise ValueError("completions need model and input_messages")
        return self


class EvalRunBody(OpenBody):
    """Request body of POST /v1/evals/{eval_id}/runs."""

    name: str = Field("", max_length=MAX_NAME_CHARS, examples=["first"])
    data_source: RunSourceBody = Field(examples=[DATA_SOURCE])
    metadata: Metadata | None = None

    @property
    def source(self) -> dict[str, Any]:
        """What is kept of the data source: everything but the rows."""
        given = self.data_source
        kept = given.model_dump(exclude_none=True, include={"type", "model", "input_messages"})
        if given.sampling_params is not None:
            kept["sampling_params"] = given.sampling_params.model_dump(exclude_none=True)
        return kept


def parse_eval(body: bytes) -> EvalBody:
    """Raises BadRequestError; `param` is the first field at fault."""
    return parse_open(body, EvalBody)


def parse_run(body: bytes) -> EvalRunBody:
    """Raises BadRequestError; `param` is the first field at fault."""
    parsed = parse_open(body, EvalRunBody)
    extra: Mapping[str, Any] = parsed.data_source.model_extra or {}
    if extra:
        raise unsupported(f"data_source.{next(iter(extra))}")
    return parsed


EvalId = Annotated[str, Field(examples=["eval-0b8f"])]
EvalRunId = Annotated[str, Field(examples=["evalrun-77aa"])]
STATUS = {
    pb.JOB_STATUS_QUEUED: "queued",
    pb.JOB_STATUS_RUNNING: "in_progress",
    pb.JOB_STATUS_PAUSED: "in_progress",
    pb.JOB_STATUS_SUCCEEDED: "completed",
    pb.JOB_STATUS_FAILED: "failed",
    pb.JOB_STATUS_CANCELLED: "canceled",
}
USED = ("invocation_count", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")
UNUSED = dict.fromkeys(USED, 0)


class EvalDataSourceConfig(ResponseModel):
    """What rows have; the schema is of a whole row, `item` and `sample`."""

    type: Literal["custom"]
    schema_: dict[str, Any] = Field(alias="schema", examples=[{"type": "object"}])


class Eval(ResponseModel):
    """Eval: how answers are graded."""

    id: EvalId = Field(validation_alias="eval_id")
    object: Literal["eval"] = "eval"
    created_at: UnixSeconds
    name: str = Field(examples=["kinds"])
    data_source_config: Json[EvalDataSourceConfig]
    testing_criteria: Json[list[CriterionBody]] = Field(examples=[[CRITERION]])
    metadata: dict[str, str]


class DeletedEval(ResponseModel):
    """Confirmation that an eval is deleted."""

    object: Literal["eval.deleted"] = "eval.deleted"
    deleted: Literal[True] = True
    eval_id: EvalId


class EvalError(ResponseModel):
    """Error in place of an answer."""

    code: str
    message: str


class EvalCounts(ResponseModel):
    """Row counts: total, passed by every criterion, failed by one, and errored."""

    total: int = Field(examples=[100])
    passed: int
    failed: int
    errored: int


class EvalCriterionCounts(ResponseModel):
    """Counts of one criterion."""

    testing_criteria: str
    passed: int
    failed: int


class EvalModelUsage(ResponseModel):
    """Usage of a model, for samples and grades."""

    model_name: ModelName
    invocation_count: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int


class EvalRun(ResponseModel):
    """Run of an eval: rows that are sampled and graded. Results are present once it has ended."""

    id: EvalRunId
    object: Literal["eval.run"] = "eval.run"
    created_at: UnixSeconds
    eval_id: EvalId
    name: str = Field(examples=["first"])
    model: ModelName
    status: Literal["queued", "in_progress", "completed", "failed", "canceled"]
    data_source: dict[str, Any] = Field(examples=[DATA_SOURCE])
    result_counts: EvalCounts
    per_testing_criteria_results: list[EvalCriterionCounts]
    per_model_usage: list[EvalModelUsage]
    report_url: str = Field(examples=["/v1/evals/eval-0b8f/runs/evalrun-77aa/output_items"])
    error: EvalError | None
    metadata: dict[str, str]

    @classmethod
    def of_record(cls, record: JobRecord) -> Self:
        """A job as OpenAI's `eval.run`; `report_url` is where its rows are."""
        requested, state = record.requested, record.state
        spec, summary = MessageToDict(requested.spec), MessageToDict(state.result.summary)
        source, eval_id = json.loads(spec["data_source"]), spec["eval_id"]
        failed = state.status == pb.JOB_STATUS_FAILED
        counts = {"total": 0, "passed": 0, "failed": 0, "errored": 0}
        return cls.model_validate(
            {
                "id": requested.job_id,
                "created_at": requested.requested_at.seconds,
                "eval_id": eval_id,
                "name": spec.get("name", ""),
                "model": source.get("model", ""),
                "status": STATUS[state.status],
                "data_source": {**source, "source": {"type": "file_id", "id": spec["file_id"]}},
                "result_counts": counts | summary.get("result_counts", {}),
                "per_testing_criteria_results": summary.get("per_testing_criteria_results", []),
                "per_model_usage": [UNUSED | each for each in summary.get("per_model_usage", ())],
                "report_url": f"/v1/evals/{eval_id}/runs/{requested.job_id}/output_items",
                "error": {"code": state.error.code.lower(), "message": state.error.message}
                if failed
                else None,
                "metadata": spec.get("metadata", {}),
            }
        )


class DeletedEvalRun(ResponseModel):
    """Confirmation that a run is deleted."""

    object: Literal["eval.run.deleted"] = "eval.run.deleted"
    deleted: Literal[True] = True
    run_id: EvalRunId


class EvalSample(ResponseModel):
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


class EvalResult(ResponseModel):
    """Result of one criterion for a row."""

    name: str
    type: str
    passed: bool
    score: float
    sample: EvalSample | None = None
    """Of the model that graded."""


class EvalOutputItem(ResponseModel):
    """Output item: one row of a run."""

    id: str = Field(examples=["evalrun-77aa-0"])
    object: Literal["eval.run.output_item"] = "eval.run.output_item"
    created_at: UnixSeconds
    run_id: EvalRunId
    eval_id: EvalId
    status: Literal["pass", "fail", "error"]
    datasource_item_id: int
    datasource_item: dict[str, Any] = Field(
        examples=[{"text": "espresso: strong black coffee", "kind": "beverage"}]
    )
    results: list[EvalResult]
    sample: EvalSample | None
    error: str | None

    @classmethod
    def of_item(cls, item: dict[str, Any], record: JobRecord) -> Self:
        """A row of a run, and what the criteria say of it."""
        run_id, number = record.requested.job_id, item["number"]
        return cls.model_validate(
            {
                "id": f"{run_id}-{number}",
                "created_at": item["at"],
                "run_id": run_id,
                "eval_id": text_of(record.requested.spec, "eval_id"),
                "status": item["status"],
                "datasource_item_id": number,
                "datasource_item": item["item"],
                "results": item["results"],
                "sample": item["sample"],
                "error": item["error"] or None,
            }
        )
