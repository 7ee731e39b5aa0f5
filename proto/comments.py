"""The comments of messages and enums, which the generated descriptors do not hold.

Reads a FileDescriptorSet with source info, writes JSON: full name of a message, a field, an enum or
a value (behind its enum) to its comment. `make proto` is its only caller.
"""

import json
import sys
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

Path = tuple[int, ...]
"""Where something stands in its file, as source info says it: field numbers and indexes."""
Named = Iterator[tuple[str, Path]]


def messages(found: Iterable[DescriptorProto], scope: str, above: Path) -> Named:
    """Messages with all that is in them."""
    for index, message in enumerate(found):
        name, path = f"{scope}.{message.name}", (*above, index)
        yield name, path
        for number, field in enumerate(message.field):
            yield f"{name}.{field.name}", (*path, DescriptorProto.FIELD_FIELD_NUMBER, number)
        nested = (*path, DescriptorProto.NESTED_TYPE_FIELD_NUMBER)
        yield from messages(message.nested_type, name, nested)
        yield from enums(message.enum_type, name, (*path, DescriptorProto.ENUM_TYPE_FIELD_NUMBER))


def enums(found: Iterable[EnumDescriptorProto], scope: str, above: Path) -> Named:
    """Enums and their values."""
    for index, enum in enumerate(found):
        name, path = f"{scope}.{enum.name}", (*above, index)
        yield name, path
        for number, value in enumerate(enum.value):
            yield f"{name}.{value.name}", (*path, EnumDescriptorProto.VALUE_FIELD_NUMBER, number)


def comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Full names in one file, and what stands above them."""
    said = {
        tuple(location.path): " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
    }
    tops = (
        messages(file.message_type, file.package, (FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER,)),
        enums(file.enum_type, file.package, (FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER,)),
    )
    for top in tops:
        yield from ((name, said[path]) for name, path in top if said.get(path))


if __name__ == "__main__":
    files = FileDescriptorSet.FromString(sys.stdin.buffer.read()).file
    every = dict(pair for file in files for pair in comments(file))
    json.dump(every, sys.stdout, indent=0, sort_keys=True, ensure_ascii=False)
    print()
