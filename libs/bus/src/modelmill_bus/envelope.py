"""Message encoding: protobuf JSON, CloudEvents attributes, W3C trace context."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

M = TypeVar("M", bound=Message)
Convert = Callable[[Any], Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_END = len("2026-11-25T12:00:00")
INT64 = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


class _Unusual(Exception):  # noqa: N818 - not an error: the other parser's turn
    """Not written as our own messages are."""


def parse_json(payload: bytes, kind: type[M]) -> M:
    """The message, fields unknown to this version left out.

    A replay parses hundreds of thousands of bodies. What they have in common (names as in the
    .proto files, numbers of 64 bits as text, times in UTC) is turned into what the messages' own
    constructors take; whatever else turns up is left to `json_format`, which decides what is a
    message and what not.

    Raises:
        json_format.ParseError: the payload is not JSON of that message.
        UnicodeDecodeError: it is no text.
    """
    try:
        return kind(**_converted(json.loads(payload), kind.DESCRIPTOR))
    except (_Unusual, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return json_format.Parse(payload, kind(), ignore_unknown_fields=True)


def _converted(fields: Any, descriptor: Any) -> dict[str, Any]:
    if type(fields) is not dict:
        raise _Unusual
    converters = _converters(descriptor)
    taken = {}
    for name, value in fields.items():
        convert = converters[name]
        taken[name] = value if convert is None else convert(value)
    return taken


@cache
def _converters(descriptor: Any) -> Mapping[str, Convert | None]:
    return {field.name: _converter(field) for field in descriptor.fields}


def _converter(field: FieldDescriptor) -> Convert | None:
    """What turns a field's JSON into what a constructor takes; None when they are the same."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        value = kind.fields_by_name["value"]
        plain = value.message_type is None and value.cpp_type not in INT64
        return (
            _number_map if plain and kind.fields_by_name["key"].type == field.TYPE_STRING else _no
        )
    if field.is_repeated or field.type == field.TYPE_BYTES:
        return _no
    if kind is None:
        return int if field.cpp_type in INT64 else _checked(field)
    if kind.full_name == "google.protobuf.Timestamp":
        return _timestamp
    if kind.full_name == "google.protobuf.Struct":
        return _struct
    if kind.full_name.startswith("google.protobuf."):
        return _no
    return lambda value: _converted(value, kind)


def _checked(field: FieldDescriptor) -> Convert | None:
    """Constructors take some values that JSON of this field may not be."""
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return _number
    return None


def _no(_: Any) -> Any:
    raise _Unusual


def _number(value: Any) -> Any:
    if type(value) not in (float, int):  # "NaN" and "Infinity" are texts
        raise _Unusual
    return value


def _number_map(values: Any) -> Any:
    return {name: _number(value) for name, value in values.items()}


def _struct(value: Any) -> Any:
    if type(value) is not dict:
        raise _Unusual
    return value


def _timestamp(text: str) -> dict[str, int]:
    if not text.endswith("Z") or len(text) > SECONDS_END + 11:
        raise _Unusual
    whole = datetime.fromisoformat(text[:SECONDS_END]).replace(tzinfo=UTC) - EPOCH
    fraction = text[SECONDS_END + 1 : -1]
    nanos = int(fraction.ljust(9, "0")) if fraction else 0
    return {"seconds": whole.days * 86400 + whole.seconds, "nanos": nanos}


M_co = TypeVar("M_co", bound=Message, covariant=True)

MSG_ID = "Nats-Msg-Id"
EXPECTED_LAST = "Nats-Expected-Last-Subject-Sequence"
KEPT_SECONDS = "Nats-TTL"
"""After how many seconds the broker forgets the message."""
LONGEST_KEPT_SECONDS = 100 * 366 * 24 * 3600.0
"""Longer is for ever: the broker counts nanoseconds in 64 bits, and forgets more at once."""

_PROPAGATOR = TraceContextTextMapPropagator()


class MalformedMessageError(Exception):
    """What a stream holds is not what the table says; nothing of ours wrote it."""


@dataclass(frozen=True)
class Stored(Generic[M_co]):
    """A message that a stream holds."""

    sequence: int
    """Its place in the stream; two streams count apart."""
    subject: str
    body: M_co
    headers: Mapping[str, str]

    @property
    def trace(self) -> Context:
        """Trace that its writer was in; empty when it was in none."""
        return _PROPAGATOR.extract(self.headers, context=Context())

    @property
    def event_id(self) -> str:
        """CloudEvents' id: the message's alone, and it says nothing of others in its stream."""
        return self.headers.get("ce-id", "")

    @property
    def msg_id(self) -> str:
        """What a repeat of it would carry, too."""
        return self.headers.get(MSG_ID, "")


def headers_for(
    body: Message,
    *,
    subject: str,
    source: str,
    msg_id: str | None,
    kept_seconds: float | None = None,
) -> dict[str, str]:
    """CloudEvents attributes (binary mode) and the trace context of the running span."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": msg_id or uuid.uuid4().hex,
        "ce-source": f"modelmill/{source}",
        "ce-type": body.DESCRIPTOR.full_name,
        "ce-subject": subject,
        "ce-time": datetime.now(UTC).isoformat(),
        "content-type": "application/json",
    }
    if msg_id:
        headers[MSG_ID] = msg_id
    if kept_seconds is not None and kept_seconds <= LONGEST_KEPT_SECONDS:
        headers[KEPT_SECONDS] = str(max(1, round(kept_seconds)))
    _PROPAGATOR.inject(headers)
    return headers


def encode(body: Message) -> bytes:
    """Protobuf JSON under the names of the .proto files, as other languages read it, too."""
    text: str = json_format.MessageToJson(body, preserving_proto_field_name=True, indent=None)
    return text.encode()


def decode(
    sequence: int, subject: str, payload: bytes, headers: Mapping[str, str] | None, kind: type[M]
) -> Stored[M]:
    """The message, fields unknown to this version left out.

    Raises:
        MalformedMessageError: the payload is not JSON of that message.
    """
    try:
        body = parse_json(payload, kind)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise MalformedMessageError(f"message {sequence} of {subject}: {error}") from error
    return Stored(sequence, subject, body, headers or {})


def text_of(struct: Struct, key: str) -> str:
    """The text under a key; empty where there is none.

    `struct.fields[key]` and `struct[key]` would add the key, to a message that others hold as well.
    """
    return struct.fields[key].string_value if key in struct.fields else ""


tracer = trace.get_tracer(__name__)


@contextmanager
def within(parent: Context) -> Iterator[None]:
    """The block, and what it publishes, belongs to the trace of `parent`."""
    token = otel_context.attach(parent)
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def process_span(template: str, parent: Context) -> Iterator[None]:
    """The span of one handled message, in the trace of its writer, linked to the span it is in."""
    with tracer.start_as_current_span(
        f"process {template}",
        context=parent,
        kind=SpanKind.CONSUMER,
        attributes={"messaging.system": "nats", "messaging.destination.name": template},
        links=links_to(otel_context.get_current()),
    ):
        yield


def links_to(to: Context) -> tuple[Link, ...]:
    """A link to the span of a context, if it has one."""
    span = trace.get_current_span(to).get_span_context()
    return (Link(span),) if span.is_valid else ()
