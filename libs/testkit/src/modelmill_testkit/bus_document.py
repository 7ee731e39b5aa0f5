"""Holds what a broker has stored against an AsyncAPI document."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import nats
from jsonschema import Draft7Validator, FormatChecker
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

HEADERS = "Headers"
"""The schema that all messages share: a header that it does not name may be there."""


@dataclass(frozen=True)
class StoredMessage:
    """A message as it lies in its stream."""

    stream: str
    subject: str
    headers: Mapping[str, str]
    payload: bytes


async def stored_messages(url: str, token: str) -> AsyncIterator[StoredMessage]:
    """Everything in every stream of a broker, read one by one."""
    client = await nats.connect(url, token=token)
    try:
        js = client.jetstream()
        streams = [str(info.config.name) for info in await js.streams_info()]
        async for message in messages_in(js, streams):
            yield message
    finally:
        await client.close()


async def messages_in(js: JetStreamContext, streams: Sequence[str]) -> AsyncIterator[StoredMessage]:
    """Everything in these streams, read one by one."""
    for stream in streams:
        state: Any = (await js.stream_info(stream)).state
        for sequence in range(state.first_seq or 1, state.last_seq + 1):
            try:
                raw: Any = await js.get_msg(stream, sequence)
            except NotFoundError:  # it was too old, or made way
                continue
            headers, payload = raw.headers or {}, raw.data or b""
            yield StoredMessage(stream, raw.subject, headers, payload)


class BusDocument:
    """A document as a judge. Stricter than it says: a field that it does not name is wrong."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = _closed(document)
        self._channels = [
            (re.compile(_pattern(channel["address"])), name)
            for name, channel in document["channels"].items()
        ]

    def check(self, message: StoredMessage) -> str:
        """The channel of the message.

        Raises:
            AssertionError: no channel, or not one, has its subject, or its parts do not agree.
            jsonschema.ValidationError: headers or payload are not as the document says.
        """
        found: list[tuple[str, re.Match[str]]] = [
            (name, match) for p, name in self._channels if (match := p.fullmatch(message.subject))
        ]
        assert len(found) == 1, f"{message.subject} is in {len(found)} channels"
        ((name, match),) = found
        channel = self._document["channels"][name]
        assert channel["x-jetstream"]["stream"] == message.stream, message.subject
        payload = json.loads(message.payload)
        (reference,) = channel["messages"].values()
        kind = self._resolved(reference)
        self._validate(kind["headers"], dict(message.headers))
        self._validate(kind["payload"], payload)
        self._agree(name, message, match, payload)
        return name

    def _agree(
        self, name: str, message: StoredMessage, match: re.Match[str], payload: dict[str, Any]
    ) -> None:
        assert message.headers["ce-subject"] == message.subject
        (operation,) = (
            each
            for each in self._document["operations"].values()
            if each["channel"]["$ref"] == f"#/channels/{name}"
        )
        publishers = {f"modelmill/{tag['name']}" for tag in operation["tags"]}
        assert message.headers["ce-source"] in publishers, message.subject
        for place, parameter in self._document["channels"][name].get("parameters", {}).items():
            said = match[place]
            assert said in parameter.get("enum", [said]), message.subject
            if "location" in parameter:
                field = parameter["location"].removeprefix("$message.payload#/")
                assert payload[field] == said, message.subject

    def _validate(self, schema: Mapping[str, Any], instance: Any) -> None:
        judge = {**schema, "components": self._document["components"]}
        Draft7Validator(judge, format_checker=FormatChecker()).validate(instance)

    def _resolved(self, thing: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in thing:
            found: Any = self._document
            for step in thing["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            thing = found
        return thing


def _pattern(address: str) -> str:
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^.]+)", re.escape(address))


def _closed(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which a body has no fields but those that are named."""
    copy: dict[str, Any] = deepcopy(dict(document))
    for name, schema in copy["components"]["schemas"].items():
        if name != HEADERS and "properties" in schema:
            schema["additionalProperties"] = False
    return copy
