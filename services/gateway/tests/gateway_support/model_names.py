"""Requests with a model that a key may not use, from the tables of HTTP and gRPC."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelmill_gateway.domain.model_names import ModelNames, Reach
from modelmill_gateway.domain.routes import Route
from modelmill_gateway.entrypoints.document.operations import OPERATIONS
from modelmill_gateway.entrypoints.grpc.middleware import MODEL_FIELDS

FORBIDDEN = "mv-of-nobody"
NAMES_A_MODEL = re.compile(
    r"model|models|.*_model|teacher|compare_to|.*version_id|fallback|suffix|alias|candidates"
)
"""How fields are called that name models."""
NOT_NAMED = {
    ("moderate", "model"): "the tenant's policy judges, whatever is named",
    ("chat", "moderation.model"): "the same",
    ("complete", "moderation.model"): "the same",
    ("respond", "moderation.model"): "the same",
}
"""Fields that are called so and name none."""


def is_refused(models: ModelNames) -> bool:
    """Whether a route has something to refuse a key that may ask for nothing of the tenant's."""
    beyond = models.reach not in (Reach.NONE, Reach.LISTS)
    return bool(models.body or models.path) or beyond


def fields_of_schema(route: Route) -> set[str]:
    """The fields of a route's JSON body that are called as if they named a model."""
    body = OPERATIONS[route.name].body
    if body is None:
        return set()
    schema = body.model_json_schema()
    found = set(_called(schema, schema.get("$defs", {}), ()))
    return {each for each in found if (route.name, each) not in NOT_NAMED}


def _called(schema: Any, known: Any, seen: tuple[str, ...], path: str = "") -> Iterator[str]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name not in seen:
            yield from _called(known[name], known, (*seen, name), path)
    for each in [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]:
        yield from _called(each, known, seen, path)
    if isinstance(schema.get("items"), dict):
        yield from _called(schema["items"], known, seen, path)
    for name, inner in schema.get("properties", {}).items():
        at = f"{path}.{name}" if path else name
        if NAMES_A_MODEL.fullmatch(name) and _is_text(inner, known):
            yield at
        yield from _called(inner, known, seen, at)


def _is_text(schema: Any, known: Any) -> bool:
    if "$ref" in schema:
        return _is_text(known[schema["$ref"].rsplit("/", 1)[-1]], known)
    parts = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    return schema.get("type") == "string" or any(_is_text(each, known) for each in parts)


def naming(body: Mapping[str, Any] | None, field: str) -> dict[str, Any]:
    """The body, with the forbidden model at one of its fields."""
    made = dict(body or {})
    name, _, rest = field.partition(".")
    before = made.get(name)
    if not rest:
        made[name] = [FORBIDDEN] if isinstance(before, list) or name in ("models",) else FORBIDDEN
        return made
    if isinstance(before, list):
        made[name] = [*before, naming({}, rest)]
    else:
        made[name] = naming(before, rest)
    return made


def put(message: Any, field: str) -> None:
    """The same of a message of gRPC's."""
    name, _, rest = field.partition(".")
    value = getattr(message, name)
    if rest:
        put(value.add() if hasattr(value, "add") else value, rest)
    elif hasattr(value, "append"):
        value.append(FORBIDDEN)
    else:
        setattr(message, name, FORBIDDEN)


def fields_of_message(descriptor: Any, path: str = "", seen: tuple[str, ...] = ()) -> Iterator[str]:
    """The fields of a message, and of those within it, that are called as if they named a model."""
    for each in descriptor.fields:
        at = f"{path}.{each.name}" if path else each.name
        if each.type == each.TYPE_STRING and NAMES_A_MODEL.fullmatch(each.name):
            yield at
        elif each.type == each.TYPE_MESSAGE and each.message_type.full_name not in seen:
            inner = each.message_type
            yield from fields_of_message(inner, at, (*seen, inner.full_name))


def said_of(procedure: str) -> set[str]:
    """Fields with model names, by the gRPC table."""
    return set(MODEL_FIELDS.get(procedure, ()))
