"""The bus as an AsyncAPI 3.0 document, made from the table and the protobuf descriptors.

The document is that of Modelmill as a whole: its operations say what Modelmill sends. Streams have
no place in AsyncAPI's binding for NATS, so they stand in the extension `x-jetstream`.

Schemas of bodies describe what `envelope.encode` writes: names of the .proto files, fields at their
default left out, whole numbers of 64 bits as text, enums by name. So nothing is required, and a
reader takes a missing field for its default. A newer version may add fields that no schema names.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from modelmill_bus.envelope import MSG_ID
from modelmill_bus.kinds import KINDS
from modelmill_bus.subjects import STREAMS, TOKEN, Row, Stream

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
            schemas[kind.full_name] = _message_schema(kind)
            waiting += _parts(kind)
    return dict(sorted(schemas.items()))


def _message_schema(kind: Descriptor) -> Schema:
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


VERSION = "3.0.0"
HEADERS = "Headers"
INFO = {
    "title": "Modelmill: facts about jobs and models",
    "version": "1",
    "description": (
        "What Modelmill says on NATS JetStream, each message at least once: key on the ids in its "
        "body. Bodies are protobuf JSON with the names of the .proto files; a field that is absent "
        "has its default, and newer versions add fields. Headers are CloudEvents attributes "
        "(binary mode) and W3C trace context. Ids and digests only, never rows, prompts or answers."
    ),
    "license": {"name": "Apache-2.0"},
}
SERVERS = {
    "bus": {
        "host": "{address}",
        "protocol": "nats",
        "variables": {
            "address": {"description": "Host and port; with a token, from its operator."}
        },
    }
}
PLACES = {
    "kind": "What sort of job.",
    "tenant": "Owner; `shared` is everybody's.",
    "job_id": "The job.",
    "file_id": "The file.",
    "name": "The alias.",
    "key_id": "The API key.",
    "budget_id": "Key or tenant.",
    "experiment_id": "The experiment.",
    "eval_id": "The eval.",
    "webhook_id": "The webhook endpoint.",
    "user": "Digest of the user.",
    "service": "Who judged.",
    "model": "The read model.",
    "snapshot_id": "The snapshot.",
}
"""Of each place in an address."""
HEADER_SCHEMA: Schema = {
    "type": "object",
    "description": "CloudEvents 1.0 attributes, trace context, and JetStream's own.",
    "required": [
        *("ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time"),
        "content-type",
    ],
    "properties": {
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"type": "string", "description": "Equal to `Nats-Msg-Id` if there is one."},
        "ce-source": {"type": "string", "pattern": "^modelmill/", "description": "Publisher."},
        "ce-type": {"type": "string", "description": "Full protobuf name of the body."},
        "ce-subject": {"type": "string", "description": "Subject that it was published on."},
        "ce-time": {"type": "string", "format": "date-time"},
        "content-type": {"const": "application/json"},
        MSG_ID: {
            "type": "string",
            "description": "The stream keeps one message of an id within its duplicate window.",
        },
        "traceparent": {
            "type": "string",
            "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
            "description": "Trace of whoever caused it.",
        },
        "tracestate": {"type": "string", "description": "As in W3C trace context."},
    },
}


def asyncapi_document() -> dict[str, Any]:
    """Every row of the table as a channel, an operation and a message.

    Raises:
        KeyError: a place in an address has no words above, or a message has no comment.
    """
    rows = [(stream, row) for stream in STREAMS for row in stream.rows]
    return {
        "asyncapi": VERSION,
        "info": INFO,
        "defaultContentType": "application/json",
        "servers": SERVERS,
        "channels": {channel_of(row): _channel(stream, row) for stream, row in rows},
        "operations": {
            f"publish_{channel_of(row).replace('.', '_')}": _operation(row) for _, row in rows
        },
        "components": {
            "messages": {row.body.DESCRIPTOR.name: _message(row) for _, row in rows},
            "schemas": {HEADERS: HEADER_SCHEMA, **schemas_of(row.body for _, row in rows)},
        },
    }


def channel_of(row: Row) -> str:
    """The address without ids, which names the channel."""
    return ".".join(part for part in row.address.split(".") if not part.startswith("{"))


def _channel(stream: Stream, row: Row) -> dict[str, Any]:
    body = row.body.DESCRIPTOR
    channel: dict[str, Any] = {
        "address": row.address,
        "description": comments()[body.full_name],
        "servers": [{"$ref": "#/servers/bus"}],
        "messages": {body.name: {"$ref": f"#/components/messages/{body.name}"}},
        "tags": [{"name": stream.name, "description": "The stream that keeps it."}],
        "x-jetstream": {
            "stream": stream.name,
            "subject": row.template,
            "max_age_seconds": stream.max_age_seconds,
            "duplicate_window_seconds": stream.duplicate_window_seconds,
            "discard": "old" if stream.lossy else "new",
            "retention": "workqueue" if stream.work_queue else "limits",
        },
    }
    if row.places:
        channel["parameters"] = {place: _parameter(row, place) for place in row.places}
    return channel


def _parameter(row: Row, place: str) -> dict[str, Any]:
    parameter: dict[str, Any] = {"description": f"{PLACES[place]} Matches `{TOKEN.pattern}`."}
    if place == "kind":
        parameter["enum"] = list(KINDS)
    if place in row.body.DESCRIPTOR.fields_by_name:
        parameter["location"] = f"$message.payload#/{place}"
    return parameter


def _operation(row: Row) -> dict[str, Any]:
    channel = f"#/channels/{channel_of(row)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": f"Published by {', '.join(row.publishers)}.",
        "tags": [{"name": name} for name in row.publishers],
        "messages": [{"$ref": f"{channel}/messages/{row.body.DESCRIPTOR.name}"}],
    }


def _message(row: Row) -> dict[str, Any]:
    body = row.body.DESCRIPTOR
    return {
        "name": body.full_name,
        "title": body.name,
        "summary": comments()[body.full_name],
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [
                {"$ref": f"{SCHEMAS}{HEADERS}"},
                {"properties": {"ce-type": {"const": body.full_name}}},
            ],
        },
        "payload": {"$ref": f"{SCHEMAS}{body.full_name}"},
    }
