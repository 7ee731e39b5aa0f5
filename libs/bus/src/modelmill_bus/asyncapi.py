"""The bus as an AsyncAPI 3.0 document, made from the table and the protos.

The document is that of Modelmill as a whole: its operations say what Modelmill sends. Streams have
no place in AsyncAPI's binding for NATS, so they stand in the extension `x-jetstream`.
"""

from typing import Any

from modelmill_bus.body_schemas import SCHEMAS, Schema, comments, schemas_of
from modelmill_bus.envelope import MSG_ID
from modelmill_bus.kinds import KINDS
from modelmill_bus.subjects import STREAMS, TOKEN, Row, Stream

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
    "eval_id": "The eval.",
    "webhook_id": "The webhook endpoint.",
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
