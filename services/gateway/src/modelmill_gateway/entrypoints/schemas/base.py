"""The base of response models: read from messages by field names, written without what is unset."""

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

T = TypeVar("T")
ItemT = TypeVar("ItemT")

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
            fields |= _fields(cls, source)
        return cls.model_validate(_by_alias(cls, fields | others))

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, given: Any) -> Any:
        return _by_alias(cls, _fields(cls, given)) if isinstance(given, Message) else given

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


def _constants(model: type[BaseModel]) -> list[str]:
    fields = model.model_fields.items()
    return [name for name, it in fields if not it.is_required() and it.default is not None]


def _fields(model: type[BaseModel], source: object) -> dict[str, Any]:
    wanted = {name: it for name, it in model.model_fields.items() if it.is_required()}
    named = ((name, str(it.validation_alias or name), it) for name, it in wanted.items())
    return {name: _value(source, at, it) for name, at, it in named if hasattr(source, at)}


def _by_alias(model: type[BaseModel], fields: dict[str, Any]) -> dict[str, Any]:
    """Under the names that pydantic looks for first: one may be that of another field."""
    aliases = {name: it.validation_alias for name, it in model.model_fields.items()}
    return {str(aliases[name] or name): value for name, value in fields.items()}


def _value(source: object, name: str, field: FieldInfo) -> Any:
    """A field in Python's types; None where nothing is set and that may be told."""
    value = getattr(source, name)
    if isinstance(source, Message):
        described = source.DESCRIPTOR.fields_by_name[name]
        can_be_null = type(None) in get_args(field.annotation)
        if can_be_null and described.has_presence and not source.HasField(name):
            return None
        if described.is_repeated:
            return dict(value) if isinstance(value, Mapping) else list(value)
    if isinstance(value, Timestamp):
        return value.seconds
    return MessageToDict(value) if isinstance(value, Struct) else value
