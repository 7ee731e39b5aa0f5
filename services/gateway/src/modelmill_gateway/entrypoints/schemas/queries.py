"""Query parameters: each set is one model, by which handlers read it and the document shows it."""

import re
from typing import Annotated, Any, Literal, Self, get_origin

from modelmill.trainer.v1.evaluation_pb2 import EvaluationRowFilter
from modelmill_bus.kinds import KINDS
from modelmill_service_kit.errors import InvalidInputError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.datastructures import QueryParams

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import DEFAULT_LIMIT, MAX_LIMIT, PageRequest
from modelmill_gateway.entrypoints.schemas.base import ROW_ID
from modelmill_gateway.entrypoints.schemas.jobs import Status
from modelmill_gateway.entrypoints.schemas.parsing import parse_fields
from modelmill_gateway.ordering.read_job_metrics import (
    DEFAULT_POINTS,
    MAX_POINTS,
    MIN_POINTS,
    MetricRange,
)

MAX_SAMPLES = 100
MAX_LAST = 1440
MAX_OTHERS, DEFAULT_COMPARED_POINTS = 9, 500
OF_POINTS = "Maximum number of points of a series; extremes, first and last are kept."
WORD = re.compile(r"\w+")
METADATA = re.compile(r"metadata\[(.{1,64})\]")


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("must be a whole number")
    return value


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}")
    return kind


Whole = Annotated[int, BeforeValidator(_digits)]
Moment = Annotated[int, Field(lt=10**10), BeforeValidator(_digits)]
Order = Literal["asc", "desc"]
Group = Literal["model", "api_key_id", "key", "user_id", "caller"]


class Query(BaseModel):
    """Parameters of a query; those that are not known are ignored."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, given: QueryParams) -> Self:
        """The parameters that a request gives.

        Raises:
            BadRequestError: one is wrong; `param` is its name.
        """
        fields = cls.read(given)
        try:
            return parse_fields(fields, cls)
        except InvalidInputError as error:
            raise BadRequestError(error.errors, param=WORD.findall(error.errors[0])[0]) from None

    @classmethod
    def read(cls, given: QueryParams) -> dict[str, Any]:
        """By name, as text; a list is read however a client writes lists."""
        found: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            if get_origin(field.annotation) is list:
                written = [*given.getlist(name), *given.getlist(f"{name}[]")]
                found[name] = [value for each in written for value in each.split(",") if value]
            elif name in given:
                found[name] = given[name]
        return found


class PageQuery(Query):
    """A page of a list."""

    after: str = Field("", description="Cursor: id of the last entry of the previous page.")
    limit: Whole = Field(
        DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Maximum number of entries."
    )

    @property
    def page(self) -> PageRequest:
        """As the domain has it."""
        return PageRequest(self.after, self.limit)


class LogQuery(PageQuery):
    """Logged requests."""

    model: str = Field("", description="Model or alias that was asked for.")
    version_id: str = Field("", description="Version that answered.")
    user: str = Field("", description="Whose requests: `user` of a request, else its caller.")


class LogUserQuery(Query):
    """A user whose texts are deleted."""

    user: str = Field(min_length=1, description="Whose requests: `user` of one, else its caller.")


class FileQuery(PageQuery):
    """A list of files."""

    purpose: str | None = Field(None, description="Filter by purpose.")
    order: Order = Field(
        "desc", description="Sort order by creation time; desc begins with the newest."
    )


class EvalQuery(PageQuery):
    """A list of evals."""

    order: Order = Field("asc", description="Sort order by creation time.")


class EvalRunQuery(EvalQuery):
    """A list of runs, or of their output items."""

    status: str | None = Field(None, description="Filter by status.")


class JobQuery(PageQuery):
    """A list of jobs."""

    kind: Annotated[str, AfterValidator(_kind)] | None = Field(
        None, description="Filter by job kind."
    )
    status: list[Status] = Field([], description="Filter by status; several are alternatives.")
    idempotency_key: str | None = Field(
        None, description="Filter by the Idempotency-Key under which jobs were ordered."
    )


class MetricRangeQuery(Query):
    """Which metrics of jobs are asked for."""

    from_step: Whole = Field(0, lt=2**53, description="First step.")
    to_step: Annotated[int, Field(lt=2**53), BeforeValidator(_digits)] | None = Field(
        None, description="Last step, inclusive; defaults to the job's last."
    )
    name: list[str] = Field([], description="Filter by names of metrics; several are alternatives.")

    @property
    def range(self) -> MetricRange:
        """As the use case has it."""
        return MetricRange(self.from_step, self.to_step, self.name)


class JobMetricsQuery(MetricRangeQuery):
    """Metrics of a job."""

    points: Whole = Field(DEFAULT_POINTS, ge=MIN_POINTS, le=MAX_POINTS, description=OF_POINTS)
    format: Literal["json", "csv"] = Field(
        "json", description="Format; csv has every point, whatever `points` says."
    )


class JobComparisonQuery(MetricRangeQuery):
    """Jobs that a job is compared with, and which of their metrics are shown."""

    other: list[str] = Field(
        [], max_length=MAX_OTHERS, description="Jobs to compare it with; several in this order."
    )
    points: Whole = Field(
        DEFAULT_COMPARED_POINTS, ge=MIN_POINTS, le=DEFAULT_POINTS, description=OF_POINTS
    )


class FineTuningQuery(PageQuery):
    """A list of fine-tuning jobs: with these pairs of metadata; with none at all for null."""

    metadata: dict[str, str] | None = Field(
        {},
        max_length=16,
        description="Filter by metadata, as metadata[key]=value.",
    )

    @classmethod
    def read(cls, given: QueryParams) -> dict[str, Any]:
        """With the pairs, which have names of their own."""
        pairs = {}
        for name, value in given.items():
            if (found := METADATA.fullmatch(name)) is not None:
                pairs[found[1]] = value
            elif name.startswith("metadata") and (name, value) != ("metadata", "null"):
                raise BadRequestError(
                    "metadata: must be null, or pairs as metadata[key]=value", param="metadata"
                )
        return super().read(given) | {"metadata": None if "metadata" in given else pairs}


class PolicyQuery(Query):
    """A version of the policy; 0 is the one in force."""

    version: Whole = Field(0, lt=2**53, description="Version to show instead of the one in force.")


class RowQuery(Query):
    """A source row."""

    file_id: str = Field("", description="File of the line, of a dataset of several files.")


class DiffQuery(Query):
    """A difference of two datasets."""

    samples: Whole = Field(
        10, ge=1, le=MAX_SAMPLES, description="Maximum number of rows shown of each side."
    )


class RowPageQuery(PageQuery):
    """A page of rows."""

    after: str = Field(
        "",
        pattern=r"^(row-[0-9]{1,15})?$",
        description="Cursor: id of the last row of the previous page.",
    )

    @property
    def line(self) -> int:
        """Behind which the page begins."""
        return int(self.after.removeprefix(ROW_ID) or 0)


class ReportQuery(Query):
    """A dataset's report."""

    format: Literal["json", "html"] = Field("json", description="Format of the report.")


class EvaluationReportQuery(Query):
    """An evaluation's report."""

    format: Literal["json", "rows", "html"] = Field("json", description="Format of the report.")


class EvaluationRowsQuery(RowPageQuery):
    """Rows of an evaluation: those to which all of this applies."""

    suite: str = Field("", max_length=256, description='Filter by suite: "dataset", or a task.')
    wrong: bool = Field(False, description="Only rows that the model got wrong.")
    differs: bool = Field(False, description="Only rows that both models answered differently.")
    text: str = Field(
        "",
        max_length=1000,
        description="Only rows whose prompt, reference or answers have this text; case is ignored.",
    )
    slice_by: str = Field("", max_length=256, description="Slice, as it was asked for.")
    slice_value: str = Field("", max_length=256, description="Only rows of this group of it.")

    @property
    def filter(self) -> EvaluationRowFilter:
        """As the trainer takes it."""
        return EvaluationRowFilter(**self.model_dump(exclude={"after", "limit"}))


class UsageQuery(Query):
    """What is asked about use."""

    start_time: Moment | None = Field(
        None, description="Start in Unix seconds; defaults to where the `last` buckets begin."
    )
    last: Annotated[int, Field(ge=1, le=MAX_LAST), BeforeValidator(_digits)] | None = Field(
        None, description="Latest buckets; defaults to 60 minutes, 24 hours or 7 days."
    )
    end_time: Moment | None = Field(
        None, description="End in Unix seconds, exclusive; defaults to now."
    )
    bucket_width: Literal["1m", "1h", "1d"] = Field("1d", description="Width of a bucket, by UTC.")
    group_by: list[Group] = Field([], description="Fields to group sums by.")
    models: list[str] = Field([], description="Filter by model versions.")
    api_key_ids: list[str] = Field([], description="Filter by API keys.")
    user_ids: list[str] = Field([], description="Filter by callers.")
    limit: Annotated[int, Field(ge=1), BeforeValidator(_digits)] | None = Field(
        None, description="Maximum number of buckets: 1,440 minutes, 168 hours or 31 days."
    )
    page: Annotated[str, Field(pattern=r"^page_[0-9]{1,10}$")] | None = Field(
        None, description="Cursor: `next_page` of the previous page."
    )
