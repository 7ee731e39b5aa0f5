"""Pages for people: the OpenAPI document as one, and where to look. They fetch and run nothing."""

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from modelmill_gateway.entrypoints.document.how_to_call import EXAMPLE, HEADERS, TEXTS

Schema = Mapping[str, Any]
BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "maxItems", "pattern", "default")
"""What is said of a field beside its type."""


def reference_page(document: Schema) -> bytes:
    """Every operation with its scope, parameters, body, answers and examples; then every shape."""
    groups = reference_sections(document)
    jumps = " ".join(f'<a href="#of-{escape(name)}">{escape(name)}</a>' for name in groups)
    token = escape(document["components"]["securitySchemes"]["token"]["description"])
    body = [
        "<p>Send <code>Authorization: Bearer …</code>. ",
        f'{token} The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>',
        _how_to_call(),
        f"<nav>{jumps}</nav>",
        *(
            f'<h2 id="of-{escape(name)}">{escape(name)}</h2>{shown}'
            for name, shown in groups.items()
        ),
    ]
    return page("Modelmill: API reference", "".join(body))


def _how_to_call() -> str:
    rows = (
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(words)}</td></tr>"
        for name, words in HEADERS.items()
    )
    base, errors = (f"<p>{escape(text.replace('`', ''))}</p>" for text in TEXTS)
    return f"{base}<pre>{escape(EXAMPLE)}</pre><table>{''.join(rows)}</table>{errors}"


def reference_sections(document: Schema) -> dict[str, str]:
    """The sections of the reference as HTML, by what the paths in each have in common."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            shown = _operation(document, method.upper(), path, operation)
            groups.setdefault(_group(path, operation), []).append(shown)
    shapes = (_shape(name, schema) for name, schema in document["components"]["schemas"].items())
    groups["shapes"] = list(shapes)
    return {name: "".join(shown) for name, shown in groups.items()}


def _group(path: str, operation: Schema) -> str:
    """What paths have in common that belong together; what is open to all is the server's own."""
    parts = [part for part in path.split("/") if part not in ("", "v1")]
    return parts[0] if operation["security"] else "server"


def _operation(document: Schema, method: str, path: str, operation: Schema) -> str:
    scopes = [scope for each in operation["security"] for scope in each["token"]]
    free = "any token or API key" if operation["security"] else "open to all"
    asks = f"scope <code>{escape(scopes[0])}</code>" if scopes else free
    body = operation.get("requestBody", {}).get("content", {})
    return "".join(
        [
            f'<details id="{escape(operation["operationId"])}"><summary><code><b>{method}</b> ',
            f"{escape(path)}</code> {escape(operation['summary'])}</summary><p>{asks}</p>",
            _table("parameters", map(_parameter, operation["parameters"])),
            _contents("body", document, body),
            "<h4>answers</h4>",
            *(_answer(document, *each) for each in operation["responses"].items()),
            "</details>",
        ]
    )


def _answer(document: Schema, status: str, response: Schema) -> str:
    said = _resolved(document, response)
    told = f"<p><b>{escape(status)}</b> {escape(said['description'])}</p>"
    # Refusals, which many share, have one shape and need no example each time.
    return told if "$ref" in response else told + _contents("", document, said.get("content", {}))


def _contents(title: str, document: Schema, contents: Mapping[str, Schema]) -> str:
    shown = []
    for media_type, content in contents.items():
        schema = content.get("schema", {})
        shown.append(f"<p><code>{escape(media_type)}</code>: {_type(schema)}</p>")
        if title:
            shown.append(_fields(_resolved(document, schema)))
        if "example" in content:
            example = json.dumps(content["example"], indent=2, ensure_ascii=False)
            shown.append(f"<pre>{escape(example)}</pre>")
    heading = f"<h4>{title}</h4>" if title and shown else ""
    return heading + "".join(shown)


def _shape(name: str, schema: Schema) -> str:
    said = escape(schema.get("description", ""))
    fields = _fields(schema) or f"<p>{_type(schema)}</p>"
    return (
        f'<details id="shape-{escape(name)}"><summary><code>{escape(name)}</code> {said}</summary>'
        f"{fields}</details>"
    )


def _parameter(parameter: Schema) -> tuple[str, str, str]:
    needed = ", required" if parameter.get("required") else ""
    kind = f"{_type(parameter['schema'])} in {escape(parameter['in'])}{needed}"
    return escape(parameter["name"]), kind, escape(parameter.get("description", ""))


def _fields(schema: Schema) -> str:
    required = schema.get("required", ())
    rows = (
        (
            escape(name),
            _type(field) + (", required" if name in required else ""),
            escape(field.get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
    )
    return _table("", rows)


def _table(title: str, rows: Iterable[tuple[str, str, str]]) -> str:
    shown = "".join(
        f"<tr><td><code>{name}</code></td><td>{kind}</td><td>{said}</td></tr>"
        for name, kind, said in rows
    )
    heading = f"<h4>{title}</h4>" if title else ""
    return f"{heading}<table>{shown}</table>" if shown else ""


def _type(schema: Schema) -> str:
    """In words; of a shape its name, which leads to it."""
    words = " or ".join(dict.fromkeys(_kinds(schema)))
    bounds = [f"{name} {json.dumps(schema[name])}" for name in BOUNDS if name in schema]
    return f"{words} ({escape(', '.join(bounds))})" if bounds else words


def _kinds(schema: Schema) -> Iterator[str]:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        yield f'<a href="#shape-{name}">{name}</a>'
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _kinds(each)
    for value in (*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())):
        yield f"<code>{escape(json.dumps(value))}</code>"
    kinds = schema.get("type", ())
    if "enum" in schema or "const" in schema:
        return
    for kind in (kinds,) if isinstance(kinds, str) else kinds:
        items = schema.get("items")
        yield f"list of {_type(items)}" if kind == "array" and items else escape(kind)


def _resolved(document: Schema, thing: Schema) -> Schema:
    while "$ref" in thing:
        found = document
        for step in thing["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        thing = found
    return thing


STYLE = """
:root { color-scheme: light dark }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }
code, pre { font: .875rem/1.4 ui-monospace, monospace }
pre { overflow: auto; padding: .75rem; border: 1px solid #8884; border-radius: .25rem }
nav a { margin-right: .75rem; display: inline-block }
details { border-bottom: 1px solid #8884; padding: .4rem 0 }
details[open] { padding-bottom: 1rem }
summary { cursor: pointer; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid #8884; padding: .25rem .75rem .25rem 0; vertical-align: top }
h4 { margin: 1rem 0 .25rem }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
LINKS = (
    ("/console", "the web console, where it was built"),
    ("/docs", "the documentation, where it was built"),
    ("/docs/api", "every route with its scope, fields, answers and examples"),
    ("/openapi.json", "the same for programs: an OpenAPI 3.1 document"),
    ("/asyncapi.json", "the bus, for who subscribes there: an AsyncAPI document"),
    ("/healthz", "whether the process runs and stays"),
    ("/readyz", "whether to send requests here"),
)


def page(title: str, body: str) -> bytes:
    """A whole page.

    Args:
        body: HTML, in which what others wrote is escaped.
    """
    return PAGE.format(title=escape(title), style=STYLE, body=body).encode()


def index_page() -> bytes:
    """What a browser at the root is shown: where to look."""
    rows = (f'<li><a href="{path}">{path}</a>: {said}</li>' for path, said in LINKS)
    return page(
        "Modelmill",
        "<p>An OpenAI-compatible API: clients take this address with <code>/v1</code> behind it as"
        " their base URL, and a token or an API key (<code>mill token</code>,"
        f" <code>mill keys create NAME</code>).</p><ul>{''.join(rows)}</ul>",
    )
