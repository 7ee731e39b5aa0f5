"""JSON schemas of the bodies on the bus, made from the protobuf descriptors.

They describe what `envelope.encode` writes: names of the .proto files, fields at their default left
out, whole numbers of 64 bits as text, enums by name. So nothing is required, and a reader takes a
missing field for its default. Fields that a schema does not name may come with a newer version.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

Schema = dict[str, Any]

SCHEMAS = "#/components/schemas/"
TEXT: Schema = {"type": "string"}
WHOLE_64: Schema = {"type": "string", "pattern": "^-?[0-9]+$"}
NUMBER: Schema = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}

WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Struct": {"type": "object"},
}
"""Messages of protobuf itself that have a JSON form of their own."""

SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: NUMBER,
    FieldDescriptor.TYPE_FLOAT: NUMBER,
    FieldDescriptor.TYPE_INT32: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.TYPE_INT64: WHOLE_64,
    FieldDescriptor.TYPE_UINT64: {"type": "string", "pattern": "^[0-9]+$"},
}
"""By the type of a field; the protos use no others."""


@cache
def comments() -> Mapping[str, str]:
    """What the protos say of each message, field, enum and value, by full name."""
    read: Mapping[str, str] = json.loads(files("modelmill").joinpath("comments.json").read_text())
    return read


def schemas_of(bodies: Iterable[type[Message]]) -> dict[str, Schema]:
    """Schemas of messages and of all that they are made of, by full name.

    Raises:
        KeyError: a field has a type that no body had before; give it a row above.
    """
    schemas: dict[str, Schema] = {}
    waiting: list[Descriptor | EnumDescriptor] = [
        cast(Descriptor, body.DESCRIPTOR) for body in bodies
    ]
    while waiting:
        kind = waiting.pop()
        if kind.full_name in schemas or kind.full_name in WELL_KNOWN:
            continue
        if isinstance(kind, EnumDescriptor):
            schemas[kind.full_name] = _enum(kind)
        else:
            schemas[kind.full_name] = _message(kind)
            waiting += _parts(kind)
    return dict(sorted(schemas.items()))


def _message(kind: Descriptor) -> Schema:
    return {
        "type": "object",
        "title": kind.name,
        "description": comments()[kind.full_name],
        "properties": {field.name: _described(field) for field in kind.fields},
    }


def _enum(kind: EnumDescriptor) -> Schema:
    said = [f"`{each.name}`: {comments()[f'{kind.full_name}.{each.name}']}" for each in kind.values]
    return {
        "type": "string",
        "title": kind.name,
        "description": "\n\n".join([comments()[kind.full_name], *said]),
        "enum": [value.name for value in kind.values],
    }


def _described(field: FieldDescriptor) -> Schema:
    schema = _shaped(field)
    if "$ref" in schema:
        # What stands beside a reference is not read.
        schema = {"allOf": [schema]}
    return {"description": comments()[field.full_name], **schema}


def _shaped(field: FieldDescriptor) -> Schema:
    shape = _one(_element(field))
    if _is_map(field):
        return {"type": "object", "additionalProperties": shape}
    return {"type": "array", "items": shape} if field.is_repeated else shape


def _one(field: FieldDescriptor) -> Schema:
    kind = field.message_type or field.enum_type
    if kind is None:
        return SCALARS[field.type]
    return WELL_KNOWN.get(kind.full_name, {"$ref": f"{SCHEMAS}{kind.full_name}"})


def _parts(kind: Descriptor) -> Iterator[Descriptor | EnumDescriptor]:
    for field in kind.fields:
        whose = _element(field)
        part = whose.message_type or whose.enum_type
        if part is not None:
            yield part


def _element(field: FieldDescriptor) -> FieldDescriptor:
    """The field itself, or the value of a map."""
    kind = field.message_type
    return kind.fields_by_name["value"] if kind is not None and _is_map(field) else field


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)
