"""Evals and their runs as OpenAI's clients send them, checked before anything is kept."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.eval_rows import BY_MODEL, SIMILARITIES
from modelmill_gateway.entrypoints.schemas.parsing import Metadata, OpenBody, parse_open

MAX_CRITERIA = 20
MAX_TURNS = 100
MAX_NAME_CHARS = 256
MAX_TEXT_CHARS = 16_384

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
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
        description="What each row's item is held to: a JSON schema, 2020-12 or draft-07."
    )
    include_sample_schema: bool = False

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

    name: Annotated[str, Field(max_length=MAX_NAME_CHARS)] = ""
    data_source_config: DataSourceConfigBody
    testing_criteria: list[CriterionBody] = Field(min_length=1, max_length=MAX_CRITERIA)
    metadata: Metadata | None = None

    @field_validator("testing_criteria")
    @classmethod
    def _each_has_a_name_of_its_own(cls, given: list[CriterionBody]) -> list[CriterionBody]:
        if len({each.name for each in given}) < len(given):
            raise ValueError("two of them have the same name")
        return given


class ChangedEvalBody(OpenBody):
    """Request body of POST /v1/evals/{eval_id}."""

    name: Name | None = None
    metadata: Metadata | None = None


class FileContentRow(OpenBody):
    """Row given inline."""

    item: dict[str, Any]
    sample: dict[str, Any] | None = None


class SourceBody(OpenBody):
    """Source of the rows."""

    type: Literal["file_id", "file_content"]
    id: str | None = Field(None, min_length=1, max_length=128)
    content: Annotated[list[FileContentRow], Field(min_length=1)] | None = None

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


class RunSampling(OpenBody):
    """Sampling parameters; further fields are passed on to the chat."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
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

    name: Annotated[str, Field(max_length=MAX_NAME_CHARS)] = ""
    data_source: RunSourceBody
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
        name = f"data_source.{next(iter(extra))}"
        raise BadRequestError(
            f"{name}: this value is not supported", param=name, code="unsupported_parameter"
        )
    return parsed
