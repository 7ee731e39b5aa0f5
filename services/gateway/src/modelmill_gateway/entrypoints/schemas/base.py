"""The base of response models: read from messages by field names, written without what is unset."""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

T = TypeVar("T")
ItemT = TypeVar("ItemT")
Reader = Callable[[Any], Any]

OrNull = Annotated[T | None, BeforeValidator(lambda value: value or None)]
"""What messages have no presence of: null stands for empty and 0."""
UnixSeconds = Annotated[int, Field(examples=[1764000000])]
ModelName = Annotated[str, Field(examples=["wordnet"])]
VersionId = Annotated[str, Field(examples=["mv-5d1c0e"])]
FileId = Annotated[str, Field(examples=["file-91c3d8"])]
DatasetId = Annotated[str, Field(examples=["ds-7be014"])]
JobId = Annotated[str, Field(examples=["job-3f2a9b"])]
Digest = Annotated[str, Field(examples=["sha256:4c1f"])]
User = Annotated[str, Field(examples=["ada"])]
Tenant = Annotated[str, Field(examples=["acme"])]
RequestId = Annotated[str, Field(examples=["req-0b8f"])]
ROW_ID = "row-"
"""How ids of rows in a page begin; behind it stands the row's line or number."""


class ResponseModel(BaseModel):
    """A response or a part of one; it has no other fields than these.

    A field with the default None may be absent. Other defaults are constants and always there.
    """

    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

    def model_post_init(self, _context: Any) -> None:
        """Count constants as set."""
        self.model_fields_set.update(_constants(type(self)))

    @classmethod
    def of(cls, *sources: object, **others: Any) -> Self:
        """The model of messages or other objects that have fields of the same names.

        Args:
            sources: of fields without default; a field's `validation_alias` is its name there. What
                comes later counts.
            others: fields that they do not have, or have otherwise.
        """
        fields: dict[str, Any] = {}
        for source in sources:
            fields |= _read(cls, source)
        names = _source_names(cls)
        return cls.model_validate(fields | {names[name]: it for name, it in others.items()})

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, given: Any) -> Any:
        return _read(cls, given) if isinstance(given, Message) else given

    def json_bytes(self) -> bytes:
        """As it is sent; what was not set is absent."""
        return self.model_dump_json(exclude_unset=True, by_alias=True).encode()

    def as_dict(self) -> dict[str, Any]:
        """The same as a dict."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


class Page(ResponseModel, Generic[ItemT]):
    """Page of a list; the next page is `after` the last id."""

    object: Literal["list"] = "list"
    data: list[ItemT]
    has_more: bool
    first_id: str | None
    last_id: str | None


class WholeList(ResponseModel, Generic[ItemT]):
    """Whole list."""

    object: Literal["list"] = "list"
    data: list[ItemT]
    has_more: Literal[False] = False


class Health(ResponseModel):
    """Health of the process."""

    status: Literal["ok"] = "ok"


class Deleted(ResponseModel):
    """Confirmation of a deletion."""

    id: str = Field(examples=["file-91c3d8"])
    object: Literal["file", "dataset", "model", "alias", "webhook", "api_key"]
    deleted: Literal[True] = True


@cache
def _constants(model: type[BaseModel]) -> frozenset[str]:
    fields = model.model_fields.items()
    return frozenset(name for name, it in fields if not it.is_required() and it.default is not None)


@cache
def _source_names(model: type[BaseModel]) -> dict[str, str]:
    """What fields are called where they are read from; pydantic looks for these names first."""
    return {name: str(it.validation_alias or name) for name, it in model.model_fields.items()}


def _read(model: type[BaseModel], source: Any) -> dict[str, Any]:
    kind: Any = type(source)
    return {name: read(source) for name, read in _readers(model, kind)}


@cache
def _readers(model: type[BaseModel], kind: type[Any]) -> tuple[tuple[str, Reader], ...]:
    """How the required fields are read that messages or dataclasses of a type have."""
    made: dict[str, Reader] = {}
    for name, field in model.model_fields.items():
        at = _source_names(model)[name]
        if not field.is_required():
            continue
        if not issubclass(kind, Message):
            if at in kind.__dataclass_fields__:
                made[at] = attrgetter(at)
        elif at in kind.DESCRIPTOR.fields_by_name:
            can_be_null = type(None) in get_args(field.annotation)
            made[at] = _reader(kind.DESCRIPTOR.fields_by_name[at], can_be_null)
    return tuple(made.items())


def _reader(field: Any, can_be_null: bool) -> Reader:
    """Reads a field of a message in Python's types; None where nothing is set and may be told."""
    name, inner = field.name, field.message_type
    convert: Reader = _AS_PYTHON.get(inner.full_name if inner else "", lambda value: value)
    if field.is_repeated:
        convert = dict if inner and inner.GetOptions().map_entry else list
    get = attrgetter(name)
    if can_be_null and field.has_presence:
        return lambda message: convert(get(message)) if message.HasField(name) else None
    return lambda message: convert(get(message))


_AS_PYTHON: dict[str, Reader] = {
    Timestamp.DESCRIPTOR.full_name: attrgetter("seconds"),
    Struct.DESCRIPTOR.full_name: MessageToDict,
}
