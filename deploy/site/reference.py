"""Reference that is read from the code when the site is built, so none of it can be stale."""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from modelmill_bus.asyncapi import asyncapi_document
from modelmill_cli.app import app
from modelmill_gateway.domain.errors import ModelNotFoundError, QuotaExceededError
from modelmill_gateway.domain.ledger.meter import BUDGET, RATE
from modelmill_gateway.entrypoints.document.openapi import openapi_document
from modelmill_gateway.entrypoints.document.reference_page import reference_sections
from modelmill_gateway.entrypoints.document.refusals import REFUSALS
from modelmill_gateway.entrypoints.http.errors import HTTP_STATUS
from modelmill_service_kit.errors import DomainError
from modelmill_service_kit.settings import EndingSettings, ServiceSettings, WorkerSettings
from modelmill_service_kit.status import STATUS
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.core import TyperGroup
from typer.main import get_command

from deploy.site.code_reading import (
    ROOT,
    attribute_docs,
    codes_given,
    codes_in,
    metrics_of,
    one_line,
    reasons_given,
)
from deploy.site.data_reference import data_page, policy_page

SERVICES = ("gateway", "moderation", "data_prep", "trainer", "optimizer_builder", "inference")
MADE = "<!-- Read from the code by deploy/site. -->\n\n"
REMEDIES = {
    400: "Change the field that `param` and the message name.",
    401: "Make a token (`mill token`) or a key (`mill keys create`), and send it in one header.",
    403: "Ask for a token or key with the scope that the message names.",
    404: "Take a name from the list that the message points to; ids are those of your tenant.",
    405: "Use a method that the header `allow` lists.",
    409: "Change the state that the message names, then repeat.",
    413: "Send less, or raise the limit that the message names.",
    415: "Send the body without `content-encoding`.",
    422: "Correct everything that `errors` lists, then repeat.",
    429: "Wait for `retry-after` seconds, or have the limit raised (`mill budget set`).",
    500: "Look up the request id in the log of the gateway.",
    503: "Wait for `retry-after` seconds; `mill status` shows which service does not answer.",
    504: "Ask for a longer time, or for less.",
    507: "Free disk space, then repeat.",
}
"""What a caller does about a status."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines) + "\n"


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|") or " "


def code(value: object) -> str:
    """As a code span."""
    return f"`{value}`" if str(value) else ""


def api_page() -> str:
    """Every route of the gateway."""
    document = openapi_document()
    token = document["components"]["securitySchemes"]["token"]["description"]
    parts = [
        "# HTTP API\n\n",
        f"Send `Authorization: Bearer …`. {token}\n",
        "For programs: [openapi.json](openapi.json).\n\n",
    ]
    for name, shown in reference_sections(document).items():
        parts.append(f'## {name}\n\n<div class="reference">{shown}</div>\n\n')
    return MADE + "".join(parts)


def bus_page() -> str:
    """Every subject of the bus."""
    document = asyncapi_document()
    published = {
        it["channel"]["$ref"].rpartition("/")[2]: it["summary"]
        for it in document["operations"].values()
    }
    parts = ["# Message bus\n\nFor programs: [asyncapi.json](asyncapi.json).\n\n"]
    for name, channel in document["channels"].items():
        stream = channel["x-jetstream"]["stream"] if "x-jetstream" in channel else "none"
        parts.append(f"## {name}\n\n{code(channel['address'])}, stream {code(stream)}.\n")
        said = f"{channel['description']} {published.get(name, '')}"
        parts.append(f"{escape(said, quote=False)}\n\n")
        for message in channel["messages"]:
            schema = document["components"]["schemas"]
            body = next((it for full, it in schema.items() if full.endswith(f".{message}")), {})
            parts.append(table(("field", "type", "is"), _fields(body)))
    return MADE + "".join(parts)


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, field in schema.get("properties", {}).items():
        yield code(name), _kind(field), escape(field.get("description", ""), quote=False)


def _kind(field: Mapping[str, Any]) -> str:
    """In words."""
    if "$ref" in field:
        return code(field["$ref"].rpartition("/")[2])
    if "const" in field or "enum" in field:
        return ", ".join(code(it) for it in field.get("enum", [field.get("const")]))
    several = [*field.get("anyOf", ()), *field.get("allOf", ()), *field.get("oneOf", ())]
    if several:
        return " or ".join(dict.fromkeys(map(_kind, several)))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return str(field.get("type", "any"))


def commands_page() -> str:
    """Every command of `mill` with its options."""
    parts = [
        "# Commands\n\n",
        "`mill COMMAND --help` says the same. [Commands explained](mill.md) has the rules.\n\n",
    ]
    for name, command in _leaves(get_command(app), "mill"):
        parts.append(f"## {name}\n\n{one_line(command.help)}\n\n")
        rows = [
            (code(_written(it)), one_line(getattr(it, "help", "")))
            for it in command.params
            if it.name != "help"
        ]
        if rows:
            parts.append(table(("argument or option", "is"), rows))
    return MADE + "".join(parts)


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(command, TyperGroup):
        yield name, command
        return
    for each, inner in sorted(command.commands.items()):
        yield from _leaves(inner, f"{name} {each}")


def _written(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).upper()
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def settings_page() -> str:
    """Every setting of every service."""
    parts = [
        "# Settings\n\nEnvironment variables. Each secret `NAME` may be in a file that `NAME_FILE`"
        " names.\n\n## Of every service\n\nWith the prefix of the service, as in `GATEWAY_`.\n\n",
        _settings(ServiceSettings),
        "### At the end of every service\n\n",
        _settings(EndingSettings),
        "## Of services that own jobs\n\nAll but moderation and inference.\n\n",
        _settings(WorkerSettings),
    ]
    for service in SERVICES:
        settings = import_module(f"modelmill_{service}.settings").Settings
        title = service.replace("_", "-")
        parts.append(f"## {title}\n\n{_settings(settings) or 'None of its own.'}\n\n")
    return MADE + "".join(parts)


def _settings(cls: Any) -> str:
    prefix = cls.model_config.get("env_prefix", "")
    rows = [
        (code(f"{prefix}{name}".upper()), _default(cls.model_fields[name]), escape(said))
        for name, said in attribute_docs(cls).items()
        if name in cls.model_fields
    ]
    return table(("variable", "default", "is"), rows) if rows else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "in the package" if field.annotation is Path else "empty"
    if field.default is None or isinstance(field.default, SecretStr) or field.default == "":
        return "none"
    return code(field.default)


def metrics_page() -> str:
    """Every metric of every service."""
    parts = ["# Metrics\n\nOf `/metrics` of each process, for holders of the service secret.\n\n"]
    folders = [f"services/{name}" for name in SERVICES]
    folders += [str(it.relative_to(ROOT)) for it in sorted((ROOT / "libs").iterdir())]
    for part in folders:
        rows = [
            (code(it.name), it.kind, ", ".join(map(code, it.labels)), escape(it.said))
            for it in metrics_of(part)
        ]
        if rows:
            parts.append(f"## {part}\n\n{table(('metric', 'type', 'labels', 'is'), rows)}")
    return MADE + "".join(parts)


def recipe_schema() -> str:
    """The JSON Schema of recipes."""
    return (resources.files("modelmill_recipes") / "recipe.schema.json").read_text("utf-8")


def recipe_page() -> str:
    """Every field of a recipe."""
    schema = json.loads(recipe_schema())
    parts = [
        "# Recipes\n\n[Recipes explained](mill.md#recipes) has the rules;"
        " [recipe.schema.json](recipe.schema.json) is what `mill recipe schema` prints.\n\n",
        table(("field", "type", "is"), _fields(schema)),
    ]
    for name, field in schema["properties"].items():
        if "properties" in field:
            parts.append(f"## {name}\n\n{table(('field', 'type', 'is'), _fields(field))}")
    for name, shape in schema["$defs"].items():
        if "properties" in shape:
            parts.append(f"## {name}\n\n{table(('field', 'type', 'is'), _fields(shape))}")
    return MADE + "".join(parts)


def errors_page() -> str:
    """Every status and code, and what to do about it."""
    statuses = [
        (str(status), escape(it.description), REMEDIES[status]) for status, it in REFUSALS.items()
    ]
    means: dict[tuple[str, int], str] = {}
    for cls in _errors(DomainError):
        said = one_line((cls.__doc__ or "").partition("\n\n")[0])
        for name in _codes(cls):
            means.setdefault((name, _status(cls)), said)
    rows = (
        (code(name), str(status), said, REMEDIES[status])
        for (name, status), said in sorted(means.items())
    )
    narrower = {it.lower() for it in reasons_given(ROOT / "services")}
    narrower |= {*codes_given(ROOT / "services/gateway/src")} - {name for name, _ in means}
    return (
        f"{MADE}# Errors\n\nAn answer that is no success is"
        ' `{"error": {"message", "type", "param", "code", "request_id"}}`; Anthropic\'s routes have'
        " the same within their shape. The message names the cause and the remedy.\n\n"
        f"## By status\n\n{table(('status', 'means', 'remedy'), statuses)}"
        f"## By code\n\n{table(('code', 'status', 'means', 'remedy'), rows)}"
        f"Narrower codes, whose message says it all: {', '.join(map(code, sorted(narrower)))}.\n"
    )


def _errors(cls: type[DomainError]) -> Iterator[type[DomainError]]:
    for each in cls.__subclasses__():
        if each.__module__.startswith(("modelmill_service_kit", "modelmill_gateway")):
            yield each
        yield from _errors(each)


def _codes(cls: type[DomainError]) -> Sequence[str]:
    """Over HTTP, as `modelmill_gateway.entrypoints.http.errors` gives them."""
    given = getattr(cls, "code", None)
    if isinstance(given, str):
        return (given,)
    if issubclass(cls, QuotaExceededError):
        return (RATE, BUDGET)
    if issubclass(cls, ModelNotFoundError):
        return ("model_not_found",)
    return codes_in(inspect.getsource(cls)) or (cls.reason.lower(),)


def _status(cls: type[DomainError]) -> int:
    """Over HTTP; the nearest ancestor in either table counts."""
    tables = {it: status.http for it, status in STATUS.items()} | HTTP_STATUS
    return next(tables[it] for it in cls.__mro__ if it in tables)


REFERENCE_PAGES: Mapping[str, Callable[[], str]] = {
    "reference/api.md": api_page,
    "reference/bus.md": bus_page,
    "reference/commands.md": commands_page,
    "reference/data.md": data_page,
    "reference/errors.md": errors_page,
    "reference/metrics.md": metrics_page,
    "reference/policy.md": policy_page,
    "reference/recipe.md": recipe_page,
    "reference/settings.md": settings_page,
}
REFERENCE_FILES: Mapping[str, Callable[[], str]] = {
    "reference/asyncapi.json": lambda: json.dumps(asyncapi_document(), ensure_ascii=False),
    "reference/openapi.json": lambda: json.dumps(openapi_document(), ensure_ascii=False),
    "reference/recipe.schema.json": recipe_schema,
}
