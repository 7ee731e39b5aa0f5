"""JSON bodies: read, parsed and checked at once, with everything wrong said at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean, nearest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import Request

from modelmill_gateway.domain.errors import BadRequestError

Key = Annotated[str, Field(max_length=64)]
Value = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[Key, Value], Field(max_length=16)]
"""The caller's own words about something, as OpenAI bounds them."""

ModelT = TypeVar("ModelT", bound=BaseModel)
ItemT = TypeVar("ItemT")
Many = Annotated[list[ItemT], Field(fail_fast=True)]
"""A list of any length, of which the first wrong item is told: a body has room for a million."""
MOST_ERRORS = 200
"""That are listed. To write down as many as a body has room for takes seconds."""
MOST_LISTED = 20
"""Fields that are few enough to name them all."""


def as_list(texts: Any) -> Any:
    """A list of one for a text."""
    return [texts] if isinstance(texts, str) else texts


TEXT_PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
}
"""Schema of a part of type text."""


def or_text(schema: dict[str, Any], **text: Any) -> None:
    """Says in the API document that one text may stand for a list of one."""
    keys = ("type", "items", "minItems", "maxItems")
    rest = schema.pop("anyOf", None) or [{key: schema.pop(key) for key in keys if key in schema}]
    schema["anyOf"] = [{"type": "string", **text}, *rest]


OneOrMany = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    BeforeValidator(as_list),
    Field(json_schema_extra=partial(or_text, minLength=1)),
]
"""Texts; one may stand for a list of one. A field of this type bounds their number."""


class StrictBody(BaseModel):
    """A body of our own routes: unknown fields are refused, types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class JobBody(StrictBody):
    """A body that orders a job."""

    priority: Literal["low", "normal", "high"] = Field(
        "normal", description="Priority among the tenant's own jobs."
    )

    @property
    def job_priority(self) -> JobPriority.ValueType:
        """As its owner takes it."""
        return JobPriority.Value(f"JOB_PRIORITY_{self.priority.upper()}")

    def spec(self) -> Any:
        """The rest as the job's owner takes it."""
        raise NotImplementedError


class OpenBody(BaseModel):
    """A body of an OpenAI route that lets unknown fields pass; they stay in `model_extra`."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, frozen=True)


async def read_body(request: Request, kind: type[ModelT]) -> ModelT:
    """The body of `request` as `kind`.

    Raises:
        BadRequestError: it is not JSON, or nested too deeply.
        InvalidInputError: JSON of another shape; lists every error.
    """
    return parse_body(await request.body(), kind)


def parse_body(body: bytes, kind: type[ModelT]) -> ModelT:
    """As `read_body`, for a body that was read already."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        found = _found(error)
        if found and found[0]["type"] == "json_invalid":
            message = f"the body is not valid JSON: {found[0]['msg']}"
            raise BadRequestError(message, code="invalid_json") from None
        raise _invalid(error, found, kind) from None


def parse_open(body: bytes, kind: type[ModelT]) -> ModelT:
    """A body of an OpenAI route.

    Raises:
        BadRequestError: not JSON, or not of this shape; `param` is the first field at fault.
    """
    try:
        return parse_body(body, kind)
    except BadRequestError:
        raise
    except InvalidInputError as error:
        raise BadRequestError(error.errors, param=error.errors[0].partition(":")[0]) from None


def parse_fields(fields: Mapping[str, Any], kind: type[ModelT]) -> ModelT:
    """Fields that came another way than as JSON, under the same rules.

    Raises:
        InvalidInputError: they have another shape; lists every error.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _invalid(error, _found(error), kind) from None


def unknown_field(name: str, known: Iterable[str]) -> str:
    """What is said of a field that is none, with the one that may be meant, or with all if few."""
    fields = [*known]
    listed = f" There are {', '.join(fields)}" if 0 < len(fields) <= MOST_LISTED else ""
    meant = did_you_mean(name, fields) or listed or " /docs names those there are"
    return f"{name}: unknown field.{meant}"


def _fields_at(kind: Any, places: Sequence[int | str]) -> list[str]:
    """Names of the fields of the body, or of the one within it that stands at these places."""
    body = _body_at(kind, places)
    return _names_of(body) if body is not None else []


def _body_at(kind: Any, places: Sequence[int | str]) -> type[BaseModel] | None:
    for place in places:
        if isinstance(place, str):
            field = kind.model_fields.get(place)
            kind = next(_bodies_in(field.annotation), None) if field else None
        if kind is None:
            break
    return cast(type[BaseModel] | None, kind)


def _names_of(body: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in body.model_fields.items()]


def _meant_below(name: str, kind: Any, places: Sequence[int | str]) -> str:
    """The nearest field of bodies within the one at these places, with its path; empty if none."""
    body = _body_at(kind, places)
    if body is None:
        return ""
    paths = {
        below: f"{field.alias or within}.{below}"
        for within, field in body.model_fields.items()
        for inner in _bodies_in(field.annotation)
        for below in _names_of(inner)
    }
    return paths.get(nearest(name, paths), "")


def _bodies_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Bodies that a field may hold, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _bodies_in(argument)


def _written_as(name: str, given: Any, places: Sequence[int | str], kind: type[BaseModel]) -> str:
    """What of the fields that are let pass may be a slip of one that is missing."""
    others = given.keys() - {*_fields_at(kind, places)} if isinstance(given, dict) else ()
    found = nearest(name, sorted(others))
    return f". Did you write it as {found!r}?" if found else ""


def _found(error: ValidationError) -> list[Any]:
    """The errors; none where there are too many to list."""
    if error.error_count() > MOST_ERRORS:
        return []
    return [*error.errors(include_url=False, include_context=False)]


def _invalid(
    error: ValidationError, found: Sequence[Any], kind: type[BaseModel]
) -> InvalidInputError:
    if not found:
        return InvalidInputError(too_many_errors(error.error_count()))
    return InvalidInputError([_say(entry, kind) for entry in found])


def too_many_errors(count: int) -> str:
    """What is said of more errors than are listed."""
    return f"body: has {count:,} errors, too many to list. /docs names the fields there are"


def _say(entry: Any, kind: type[BaseModel]) -> str:
    """One error as "field: what is wrong"."""
    *places, name = entry["loc"] or ("",)
    path = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        within = "".join(f"{place}." for place in places)
        known, below = _fields_at(kind, places), _meant_below(str(name), kind, places)
        if below and not nearest(str(name), known):
            return f"{within}{name}: unknown field. Did you mean {within + below!r}?"
        return within + unknown_field(str(name), known)
    if entry["type"] == "missing" and issubclass(kind, OpenBody):
        return f"{path}: field required{_written_as(str(name), entry['input'], places, kind)}"
    message = entry["msg"].removeprefix("Value error, ")
    return f"{path or 'body'}: {message[0].lower()}{message[1:]}"
