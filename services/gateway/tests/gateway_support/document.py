"""Holds what the live gateway answers against its own document."""

from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from modelmill_gateway.domain.routes import ROUTES, match
from modelmill_gateway.entrypoints.document.openapi import openapi_document
from modelmill_gateway.entrypoints.document.operations import OPERATIONS


@cache
def document() -> dict[str, Any]:
    """The API document, of what is documented: one test says which routes are not."""
    return openapi_document(tuple(route for route in ROUTES if route.name in OPERATIONS))


def operation_of(name: str) -> dict[str, Any]:
    """What the document says of a route."""
    route = next(route for route in ROUTES if route.name == name)
    operation: dict[str, Any] = document()["paths"][route.template][route.method.lower()]
    return operation


def body_example(name: str) -> dict[str, Any] | None:
    """The example of a route's JSON body, if it takes one."""
    content = operation_of(name).get("requestBody", {}).get("content", {})
    example: dict[str, Any] | None = content.get("application/json", {}).get("example")
    return example


@cache
def validator(pointer: str) -> Draft202012Validator:
    """Of the schema at this place of the document."""
    return Draft202012Validator({"$ref": f"#/components/{pointer}", **document()})


def resolved(thing: dict[str, Any]) -> dict[str, Any]:
    """The thing, or what it refers to."""
    while "$ref" in thing:
        found: dict[str, Any] = document()
        for step in thing["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        thing = found
    return thing


def schema_validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema as it stands in the document."""
    return validator(schema["$ref"].removeprefix("#/components/"))


async def checked(answer: httpx.Response) -> None:
    """Raise unless the document tells of this status and of this body."""
    found = match(answer.request.method, answer.request.url.path).route
    if found is None:
        return
    responses = document()["paths"][found.template][found.method.lower()]["responses"]
    said = f"{found.name} answered {answer.status_code}"
    assert str(answer.status_code) in responses, f"{said}, which its document does not know"
    content = resolved(responses[str(answer.status_code)]).get("content", {})
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert kind in content or not content, f"{said} as {kind}"
    if kind == "application/json":
        await answer.aread()
        schema = content[kind]["schema"]
        if "$ref" in schema:
            schema_validator(schema).validate(answer.json())
