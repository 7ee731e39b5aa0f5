"""Streams of named events, each held against the document."""

import json
from typing import Any

import httpx

from gateway_support.document import schema_validator


def told_events(answer: httpx.Response, shape: str) -> list[dict[str, Any]]:
    """The events of a stream; each says its type twice and has the shape of that name."""
    assert answer.headers["content-type"] == "text/event-stream"
    validator = schema_validator({"$ref": f"#/components/schemas/{shape}"})
    told = []
    for written in answer.text.removesuffix("\n\n").split("\n\n"):
        named, _, data = written.partition("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert named == f"event: {told[-1]['type']}"
        validator.validate(told[-1])
    return told
