"""How a message travels: protobuf JSON, CloudEvents attributes, W3C trace context."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from modelmill_bus.json_bodies import parse_json

M_co = TypeVar("M_co", bound=Message, covariant=True)
M = TypeVar("M", bound=Message)

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
