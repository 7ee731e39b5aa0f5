"""The document of the bus: whole, valid by AsyncAPI's rules, and true of what is written."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from jsonschema import Draft7Validator, ValidationError
from modelmill_bus.asyncapi import asyncapi_document, channel_of
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import encode, headers_for
from modelmill_bus.subjects import STREAMS, Row
from modelmill_testkit.bus_document import BusDocument, StoredMessage, stored_messages

ROWS = [(stream.name, row) for stream in STREAMS for row in stream.rows]
EXTENSION = re.compile(r"x-[\w.-]+")
FIELDS = {
    "": "asyncapi id info servers defaultContentType channels operations components",
    "info": "title version description termsOfService contact license tags externalDocs",
    "servers.*": "host protocol protocolVersion pathname description title summary variables "
    "security tags externalDocs bindings",
    "channels.*": "address messages title summary description servers parameters tags "
    "externalDocs bindings",
    "channels.*.parameters.*": "enum default description examples location",
    "operations.*": "action channel title summary description security tags externalDocs "
    "bindings traits messages reply",
    "components": "schemas servers channels operations messages securitySchemes parameters",
    "components.messages.*": "headers payload correlationId contentType name title summary "
    "description tags externalDocs bindings examples traits",
}
"""What AsyncAPI 3.0 lets an object have; an extension may come on top."""
REQUIRED = {
    "": "asyncapi info",
    "info": "title version",
    "servers.*": "host protocol",
    "operations.*": "action channel",
}
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: (2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_UINT32: (2**32 - 1, 1),
    FieldDescriptor.CPPTYPE_INT64: (2**63 - 1, -(2**63)),
    FieldDescriptor.CPPTYPE_UINT64: (2**64 - 1, 1),
    FieldDescriptor.CPPTYPE_DOUBLE: (1e300, float("nan")),
    FieldDescriptor.CPPTYPE_FLOAT: (1.5, float("-inf")),
    FieldDescriptor.CPPTYPE_BOOL: (True, True),
    FieldDescriptor.CPPTYPE_ENUM: (1, 1),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As it travels."""
    return json.loads(json.dumps(asyncapi_document(), allow_nan=False))


def at(thing: Any, path: str) -> Iterator[Any]:
    """What stands at a dotted path; `*` is every key."""
    step, _, rest = path.partition(".")
    if not step:
        yield thing
        return
    for each in thing.values() if step == "*" else [thing[step]] if step in thing else []:
        yield from at(each, rest)


def references(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        if isinstance(thing.get("$ref"), str):
            yield thing["$ref"]
        for each in thing.values():
            yield from references(each)
    elif isinstance(thing, list):
        for each in thing:
            yield from references(each)


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def filled(body: Message, low: int) -> Message:
    """The body with every field set, whole numbers at their upper or lower end."""
    for field in body.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            fill_map(getattr(body, field.name), field, low)
        elif field.message_type is not None:
            part = getattr(body, field.name)
            filled_part(part.add() if field.is_repeated else part, low)
        elif field.is_repeated:
            getattr(body, field.name).append(value_of(field, low))
        else:
            setattr(body, field.name, value_of(field, low))
    return body


def fill_map(entries: Any, field: FieldDescriptor, low: int) -> None:
    value = field.message_type.fields_by_name["value"]
    if value.message_type is not None:
        filled_part(entries["one"], low)
    else:
        entries["one"] = value_of(value, low)


def filled_part(part: Message, low: int) -> None:
    if isinstance(part, Timestamp):
        part.GetCurrentTime()
    elif isinstance(part, Struct):
        part.update({"text": "ü", "list": [1, None, {"deep": True}]})
    else:
        part.SetInParent()
        filled(part, low)


def value_of(field: FieldDescriptor, low: int) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"\x00\xff"
    return NUMBERS[field.cpp_type][low] if field.cpp_type in NUMBERS else "some text"


def example(row: Row, low: int) -> tuple[str, Message]:
    """A subject of the row and a body for it that agrees with it."""
    body, subject = filled(row.body(), low), row.address
    for place in row.places:
        said = "train" if place == "kind" else f"{place.replace('_', '-')}-1"
        subject = subject.replace(f"{{{place}}}", said)
        if place in body.DESCRIPTOR.fields_by_name:
            setattr(body, place, said)
    return subject, body


def stored(stream: str, subject: str, body: Message, source: str) -> StoredMessage:
    headers = headers_for(body, subject=subject, source=source, msg_id="once")
    return StoredMessage(stream, subject, headers, encode(body))


def test_every_object_has_the_fields_that_asyncapi_gives_it(document: dict[str, Any]):
    assert document["asyncapi"] == "3.0.0"
    for path, names in FIELDS.items():
        for found in at(document, path):
            wrong = {name for name in found if not EXTENSION.fullmatch(name)} - set(names.split())
            assert not wrong, path
            assert set(REQUIRED.get(path, "").split()) <= set(found), path


def test_every_reference_leads_somewhere(document: dict[str, Any]):
    for reference in references(document):
        assert reference.startswith("#/"), reference
        assert resolved(document, reference), reference


def test_an_address_and_its_parameters_name_the_same_places(document: dict[str, Any]):
    for channel in document["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(
            channel.get("parameters", {})
        )


def test_an_operation_sends_messages_of_its_channel(document: dict[str, Any]):
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        names = resolved(document, channel)["messages"]
        assert operation["action"] == "send"
        assert {each["$ref"] for each in operation["messages"]} == {
            f"{channel}/messages/{name}" for name in names
        }


def test_every_schema_is_one(document: dict[str, Any]):
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_every_row_of_the_table_is_in_it_with_its_stream_and_its_publishers(
    document: dict[str, Any],
):
    assert len(document["channels"]) == len(document["operations"]) == len(ROWS)
    assert len(document["components"]["messages"]) == len(ROWS)
    for stream, row in ROWS:
        channel = document["channels"][channel_of(row)]
        assert channel["address"] == row.address
        assert channel["x-jetstream"]["stream"] == stream
        operation = document["operations"][f"publish_{channel_of(row).replace('.', '_')}"]
        assert tuple(tag["name"] for tag in operation["tags"]) == row.publishers != ()


def test_messages_fields_and_values_are_described_in_the_words_of_the_protos(
    document: dict[str, Any],
):
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        assert schema["description"]
        for field in schema.get("properties", {}).values():
            assert field.get("description") or field.get("const") or field.get("format")
    ready = schemas["modelmill.registry.v1.ModelReady"]
    assert ready["properties"]["digest"]["description"] == "Manifest digest in the artifact store."
    status = schemas["modelmill.jobs.v1.JobStatus"]["description"]
    assert "`JOB_STATUS_PAUSED`: Stopped on request" in status


@pytest.mark.parametrize("low", [0, 1], ids=["high", "low"])
@pytest.mark.parametrize(("stream", "row"), ROWS, ids=lambda each: getattr(each, "address", each))
def test_a_body_with_every_field_set_is_as_its_schema_says(
    document: dict[str, Any], stream: str, row: Row, low: int
):
    subject, body = example(row, low)
    judge = BusDocument(document)

    for publisher in row.publishers:
        assert judge.check(stored(stream, subject, body, publisher)) == channel_of(row)
    with pytest.raises(AssertionError):
        judge.check(stored(stream, subject, body, "somebody-else"))


@pytest.mark.parametrize(
    "change",
    [
        {"version_id": 7},
        {"size_bytes": 12},
        {"metrics": {"accuracy": "good"}},
        {"metrics": [0.9]},
        {"created_at": 1764000000},
        {"accuracy": 0.9},
        {"versionId": "mv-1"},
    ],
)
def test_a_body_that_is_not_as_the_proto_says_is_refused(
    document: dict[str, Any], change: dict[str, Any]
):
    ((stream, row),) = [each for each in ROWS if each[1].address == "model.ready"]
    good = stored(stream, *example(row, 0), "trainer")
    payload = json.loads(good.payload) | change

    with pytest.raises(ValidationError):
        BusDocument(document).check(
            StoredMessage(stream, good.subject, good.headers, json.dumps(payload).encode())
        )


async def test_what_a_broker_keeps_of_every_row_is_as_the_document_says(
    document: dict[str, Any], broker
):
    for _, row in ROWS:
        subject, body = example(row, 0)
        async with Bus.connect(broker.url, broker.token, name=row.publishers[0]) as bus:
            await bus.publish(subject, body, expect_last=0)

    judge = BusDocument(document)
    seen = [judge.check(each) async for each in stored_messages(broker.url, broker.token)]
    assert sorted(seen) == sorted(document["channels"])
