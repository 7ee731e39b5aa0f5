"""Reading the free-form part of messages."""

from google.protobuf.struct_pb2 import Struct


def text_of(struct: Struct, key: str) -> str:
    """The text under a key; empty where there is none.

    `struct.fields[key]` and `struct[key]` would add the key, to a message that others hold as well.
    """
    return struct.fields[key].string_value if key in struct.fields else ""
