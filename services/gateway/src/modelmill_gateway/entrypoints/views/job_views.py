"""What views of jobs have in common."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

View = dict[str, Any]


def unix_seconds(at: Timestamp) -> int:
    """Whole seconds since 1970, as OpenAI writes times."""
    return at.seconds


def maybe_unix_seconds(message: Message, field: str) -> int | None:
    """The time in `field`, or None when it is not set."""
    return unix_seconds(getattr(message, field)) if message.HasField(field) else None


def as_object(message: Message) -> View:
    """A message as JSON, under the names of the .proto files."""
    fields: View = MessageToDict(message, preserving_proto_field_name=True)
    return fields
