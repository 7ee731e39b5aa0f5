"""The OpenAPI document, made from the route table and the shapes of the bodies."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.domain.routes import ROUTES, Body, Route

SCHEMAS = "#/components/schemas/{model}"
LISTS = frozenset(
    {
        "list_files",
        "list_datasets",
        "list_fine_tuning",
        "list_fine_tuning_events",
        "list_jobs",
    }
)
"""Routes that are read in pages."""

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code", "request_id"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "request_id": {"type": "string"},
                "errors": {"type": "array", "items": {"type": "string"}},
            },
        }
    },
}
UPLOAD: dict[str, Any] = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {"purpose": {"type": "string"}, "file": {"type": "string", "format": "binary"}},
}


def openapi_document(bodies: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """OpenAPI 3.1 of every route in the table; `bodies` by route name."""
    kinds = [(kind, "validation") for kind in dict.fromkeys(bodies.values())]
    _, schemas = models_json_schema(kinds, ref_template=SCHEMAS)  # type: ignore[arg-type]
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        operation = _operation(route, bodies.get(route.name))
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Modelmill", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Error": ERROR},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _operation(route: Route, body: type[BaseModel] | None) -> dict[str, Any]:
    failure = {"application/json": {"schema": {"$ref": SCHEMAS.format(model="Error")}}}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {
            "200": {"description": "Done."},
            "default": {"description": "Refused or failed.", "content": failure},
        },
        "security": [] if route.scope is None else [{"token": [route.scope]}],
    }
    content = _content(route, body)
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _content(route: Route, body: type[BaseModel] | None) -> dict[str, Any]:
    if route.body is Body.UPLOAD:
        return {"multipart/form-data": {"schema": UPLOAD}}
    if body is None:
        return {}
    return {"application/json": {"schema": {"$ref": SCHEMAS.format(model=body.__name__)}}}


def _parameters(route: Route) -> list[dict[str, Any]]:
    named: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if route.name in LISTS:
        limit = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
        named.append({"name": "after", "in": "query", "schema": {"type": "string"}})
        named.append({"name": "limit", "in": "query", "schema": limit})
    if route.name == "list_jobs":
        named.append({"name": "kind", "in": "query", "schema": {"type": "string"}})
    if route.name.startswith("create_"):
        key = {"type": "string", "maxLength": 255}
        named.append({"name": "Idempotency-Key", "in": "header", "schema": key})
    return named
