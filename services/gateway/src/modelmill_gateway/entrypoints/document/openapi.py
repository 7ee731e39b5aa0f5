"""The OpenAPI document, made from the route table, its operations, and the models behind them."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from modelmill_gateway.domain import access
from modelmill_gateway.domain.routes import ROUTES, Body, Dialect, Route
from modelmill_gateway.entrypoints.document import how_to_call
from modelmill_gateway.entrypoints.document.operations import OPERATIONS, Operation
from modelmill_gateway.entrypoints.document.refusals import ANTHROPIC, REFUSALS, refusal_responses
from modelmill_gateway.entrypoints.document.site_files import MEDIA_TYPES
from modelmill_gateway.entrypoints.http.requests import MAX_KEY_CHARS
from modelmill_gateway.entrypoints.schemas.errors import AnthropicError, Error
from modelmill_gateway.entrypoints.schemas.evaluations import RESULTS
from modelmill_gateway.entrypoints.schemas.files import PURPOSES
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody, StrictBody
from modelmill_gateway.entrypoints.schemas.queries import Query
from modelmill_gateway.entrypoints.schemas.webhooks import WebhookEvent

SCHEMAS = "#/components/schemas/"
LISTS = re.compile(r"(Page|Whole)(List)?\[(\w+)\]")


class _Generator(GenerateJsonSchema):
    """Pydantic's, for which constants of responses are always there."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Whether a field is never absent."""
        inner = field["schema"]
        if self.mode == "serialization" and inner["type"] == "default":
            return inner.get("default") is not None
        return super().field_is_required(field, total)

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        """Of typed dicts, which have no other fields either."""
        return {**super().typed_dict_schema(schema), "additionalProperties": False}

    def normalize_name(self, name: str) -> str:
        """For example `FilePage` for `Page[File]`."""
        return super().normalize_name(LISTS.sub(lambda it: f"{it[3]}{it[2] or it[1]}", name))


class Schemas:
    """JSON schemas of models, and examples put together from those of their fields."""

    def __init__(self, models: Iterable[type[Any]]) -> None:
        inputs: Any = [(it, _mode(it), TypeAdapter(it)) for it in dict.fromkeys(models)]
        refs, made = TypeAdapter.json_schemas(
            inputs,
            ref_template=SCHEMAS + "{model}",
            schema_generator=_Generator,
        )
        self._refs = {model: schema for (model, _), schema in refs.items()}
        self.definitions: dict[str, Any] = made.get("$defs", {})
        """By their names."""

    def ref(self, model: type[Any]) -> dict[str, Any]:
        """Where the model's schema is."""
        return self._refs[model]

    def example(self, model: type[Any]) -> Any:
        """An example, of the examples of its fields."""
        return self._example(self._refs[model])

    def _example(self, schema: Mapping[str, Any]) -> Any:
        if "examples" in schema:
            return schema["examples"][0]
        if "$ref" in schema:
            return self._example(self.definitions[schema["$ref"].removeprefix(SCHEMAS)])
        if "const" in schema or "enum" in schema:
            return schema["const"] if "const" in schema else schema["enum"][0]
        if "anyOf" in schema:
            return self._of_union(schema["anyOf"])
        kind = schema.get("type")
        if kind == "object":
            return self._of_object(schema)
        if kind == "array":
            items = schema.get("items", {})
            return [self._example(items)] if "$ref" in items or "anyOf" in items else []
        return {"string": "", "integer": 0, "number": 0.0, "boolean": False}.get(str(kind))

    def _of_object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that are always there, and others that have examples."""
        required = schema.get("required", ())
        fields = schema.get("properties", {}).items()
        return {
            name: self._example(field)
            for name, field in fields
            if name in required or "examples" in field
        }

    def _of_union(self, branches: list[Mapping[str, Any]]) -> Any:
        """The first; of what may be null nothing, unless it is a value with an example."""
        is_open = not any(branch.get("type") == "null" for branch in branches)
        first = branches[0]
        is_shown = is_open or "examples" in first or "enum" in first
        return self._example(first) if is_shown else None


def _mode(model: type[Any]) -> JsonSchemaMode:
    return "validation" if issubclass(model, OpenBody | StrictBody) else "serialization"


RESPONSES = "#/components/responses/{name}"

GENERATING = frozenset({"chat", "complete", "generate", "messages"})

UPLOAD: dict[str, Any] = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {
        "purpose": {
            "enum": sorted(PURPOSES),
            "description": "Purpose of the file; best sent before the file.",
        },
        "file": {"type": "string", "format": "binary"},
    },
}
UPLOAD_EXAMPLE = {"purpose": "fine-tune", "file": '{"messages": []}\n'}
PART: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "format": "binary"}},
}
PART_EXAMPLE = {"data": '{"messages": []}\n'}
REPORT = {
    "application/json": {"schema": {"type": "object"}, "example": {"counts": {"rows_in": 900}}},
    "text/html": {"schema": {"type": "string"}},
}
EVALUATION_REPORT = {
    "application/json": {"schema": {"type": "object"}, "example": RESULTS},
    "application/jsonl": {"schema": {"type": "string"}},
    "text/html": {"schema": {"type": "string"}},
}
PAGES = ("index", "reference")
PAGE = {"text/html": {"schema": {"type": "string"}}}
SITE = {each: {"schema": {"type": "string"}, "example": ""} for each in MEDIA_TYPES.values()}
TAR = {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}
BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


class UndocumentedRouteError(LookupError):
    """Routes of the table that no operation describes."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(
            f"undocumented: {', '.join(names)}. Describe each in OPERATIONS of "
            "entrypoints/document/operations.py"
        )


@cache
def openapi_document(routes: tuple[Route, ...] = ROUTES) -> dict[str, Any]:
    """OpenAPI 3.1 of every route in the table, the same for all gateways of a process.

    Raises:
        UndocumentedRouteError: Routes have no operation.
    """
    if undocumented := [route.name for route in routes if route.name not in OPERATIONS]:
        raise UndocumentedRouteError(undocumented)
    paths: dict[str, dict[str, Any]] = {}
    schemas = _schemas()
    for route in routes:
        operation = _operation(route, OPERATIONS[route.name], schemas)
        paths.setdefault(route.template, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Modelmill", "version": "1", "description": how_to_call.markdown()},
        "paths": paths,
        "webhooks": {"event": {"post": _event(schemas)}},
        "components": {
            "schemas": schemas.definitions,
            "responses": refusal_responses(schemas.ref(Error), schemas.ref(AnthropicError)),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token, or an API key; `x-api-key` takes either, alone. "
                    f"Scopes: {' '.join([*access.SCOPES, access.OPERATOR])}.",
                }
            },
        },
    }


def _schemas() -> Schemas:
    shapes: list[type[Any]] = [WebhookEvent, Error, AnthropicError]
    for operation in OPERATIONS.values():
        models = (operation.body, operation.response, operation.events)
        shapes += [each for each in models if each is not None]
    return Schemas(shapes)


def _operation(route: Route, operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _parameters(route, operation.parameters),
        "responses": {
            str(operation.status): {
                "description": "Success.",
                "content": _answer(route, operation, schemas),
            },
            **{
                str(status): {"$ref": RESPONSES.format(name=_refusal_name(status, route.dialect))}
                for status in _refusals(route, operation)
            },
        },
        # A token without a named scope: any that counts.
        "security": [] if route.is_open else [{"token": [route.scope] if route.scope else []}],
    }
    if operation.events is not None and route.method == "GET":
        described["responses"]["204"] = {
            "description": "The job has ended, and its last event was delivered."
        }
    if route.body is Body.UPLOAD:
        is_part = route.name == "add_upload_part"
        form = (PART, PART_EXAMPLE) if is_part else (UPLOAD, UPLOAD_EXAMPLE)
        content = {"multipart/form-data": {"schema": form[0], "example": form[1]}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.body is not None:
        body = {
            "schema": schemas.ref(operation.body),
            "example": schemas.example(operation.body),
        }
        described["requestBody"] = {"required": True, "content": {"application/json": body}}
    return described


def _event(schemas: Schemas) -> dict[str, Any]:
    """What endpoints are sent."""
    text = {"type": "string"}
    signature = (
        "Signatures: `v1,` and base64 of HMAC-SHA256 over id.timestamp.body; there may be several."
    )
    body = {"schema": schemas.ref(WebhookEvent), "example": schemas.example(WebhookEvent)}
    return {
        "operationId": "webhook_event",
        "summary": "Receive an event, at least once; answer 2xx within 10 s.",
        "parameters": [
            {
                **_header(
                    "webhook-id", text, "Event id, the same at each attempt: deduplicate by it."
                ),
                "required": True,
            },
            {
                **_header("webhook-timestamp", text, "Unix seconds of the attempt."),
                "required": True,
            },
            {**_header("webhook-signature", text, signature), "required": True},
        ],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "2XX": {"description": "The event was received."},
            "410": {"description": "The endpoint is gone: it is disabled."},
        },
        "security": [],
    }


def _answer(route: Route, operation: Operation, schemas: Schemas) -> dict[str, Any]:
    if route.name == "get_content":
        return BYTES
    if route.name == "export_tenant":
        return TAR
    if route.name in PAGES:
        return PAGE
    if route.name in ("documentation_page", "console_page"):
        return SITE
    if route.name in ("documentation", "console"):
        return {}
    if route.name == "get_report":
        return REPORT
    if route.name == "get_evaluation_report":
        return EVALUATION_REPORT
    shown: dict[str, Any] = {"schema": {"type": "object"}, "example": {}}
    if operation.response is not None:
        shown["schema"] = schemas.ref(operation.response)
        shown["example"] = schemas.example(operation.response)
    return {"application/json": shown} | _other_forms(operation, schemas)


def _other_forms(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    """What may be had in place of JSON."""
    forms: dict[str, Any] = {}
    if operation.events is not None:
        forms["text/event-stream"] = {"schema": schemas.ref(operation.events)}
    if operation.has_table:
        forms["text/csv"] = {"schema": {"type": "string"}}
    return forms


def _refusals(route: Route, operation: Operation) -> list[int]:
    """What a caller may hear instead, by status."""
    statuses = {*operation.refusals, 500}
    if not route.is_open:
        statuses |= {401, 403}
    if "{" in route.path:
        statuses.add(404)
    if route.body is not Body.NONE:
        statuses |= {400, 413, 415}
    if operation.body is not None and issubclass(operation.body, StrictBody):
        statuses.add(422)
    if operation.parameters is not None:
        statuses.add(400)
    return sorted(statuses)


def _refusal_name(status: int, dialect: Dialect) -> str:
    name = REFUSALS[status].name
    return ANTHROPIC.format(name=name) if dialect is Dialect.ANTHROPIC else name


def _parameters(route: Route, query: type[Query] | None) -> list[dict[str, Any]]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.template)
    ]
    if query is not None:
        schema = query.model_json_schema()
        required = schema.get("required", ())
        for name, field in schema["properties"].items():
            named.append(_query(name, field) | ({"required": True} if name in required else {}))
    return named + _headers(route)


def _query(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """A parameter as the field of its model says; nothing is said of what is empty or null."""
    schema = field | field.get("anyOf", [{}])[0]
    description = schema["description"]
    left_out = ["title", "description", "anyOf", *([] if schema.get("default") else ["default"])]
    schema = {key: value for key, value in schema.items() if key not in left_out}
    # Pairs as metadata[key]=value.
    style = {"style": "deepObject", "explode": True} if schema["type"] == "object" else {}
    return {"name": name, "in": "query", "schema": schema, "description": description} | style


def _headers(route: Route) -> list[dict[str, Any]]:
    text = {"type": "string"}
    named = []
    if route.name in GENERATING:
        said = "Sticky key: requests with the same value get the same variant of an alias."
        named.append(_header("x-modelmill-sticky", text, said))
    if route.name.endswith("_events"):
        named.append(_header("Last-Event-ID", text, "Event id after which a stream continues."))
    if route.name.startswith("create_"):
        key = {"type": "string", "maxLength": MAX_KEY_CHARS}
        named.append(
            _header(
                "Idempotency-Key", key, "Idempotency key: a repeated request returns the same job."
            )
        )
    return named


def _header(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": schema, "description": description}
