"""Sandboxed Jinja templates of tasks; they see only the columns of one row."""

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from modelmill_service_kit.nearest import did_you_mean

MAX_RENDERED_CHARACTERS = 1 << 20
MAX_LOOP_DEPTH = 2
MOST_COLUMNS_CHARACTERS = 200
"""Of a row's columns, in an error."""

STATEMENTS: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.Extends: "extends",
    nodes.Macro: "macro",
}
"""Forbidden statements: they load other files or can recurse."""
PADDING = {"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"}
"""Forbidden string methods: their result can have any length."""
FILTERS = (
    *("capitalize", "count", "default", "first", "float", "int", "join", "last", "length"),
    *("list", "lower", "replace", "string", "title", "tojson", "trim", "upper"),
)
"""Allowed filters. The others call attributes named by a row, or amplify small inputs."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "**", "%"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Allow numbers only: repeating or padding a string could exhaust memory."""
        if not (_is_small(left) and _is_small(right)):
            raise SecurityError(f"{operator} works on small numbers only")
        return super().call_binop(context, operator, left, right)


def _is_small(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1 << 16


def _environment() -> _Environment:
    environment = _Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    return environment


_ENVIRONMENT = _environment()


class TemplateFailed(Exception):  # noqa: N818 - a row's, not a program's
    """A row cannot be rendered; the message is one line."""


def template_errors(text: str) -> list[str]:
    """Static errors of a template; it is not executed."""
    if not _is_template(text):
        return []
    try:
        return list(_errors_in(_ENVIRONMENT.parse(text)))
    except (TemplateError, RecursionError) as error:
        return [f"no template: {' '.join(str(error).split())[:200]}"]


def _errors_in(tree: nodes.Template) -> Iterator[str]:
    for name in sorted({each.name for each in tree.find_all(nodes.Filter)} - {*FILTERS}):
        yield f"the filter {name!r} is not supported"
    called = {each.node.attr for each in tree.find_all(nodes.Call) if hasattr(each.node, "attr")}
    for name in sorted(called & PADDING):
        yield f"the method {name!r} is not supported"
    for kind, why in STATEMENTS.items():
        if any(tree.find_all(kind)):
            yield f"{why} is not supported in a template"
    if _depth(tree) > MAX_LOOP_DEPTH:
        yield f"loops may stand {MAX_LOOP_DEPTH} deep in a template"


def rendered(template: str, row: Mapping[str, Any]) -> Any:
    """Render a template for a row; a bare column name yields the column's value.

    Raises:
        TemplateFailed: a column is missing, or an operation is forbidden.
    """
    if template in row:
        return row[template]
    if not _is_template(template):
        if template.isidentifier():
            # A single word must be a column: a constant text for every row is surely a mistake.
            raise _no_column(template, row)
        return template
    try:
        parts: list[str] = []
        size = 0
        for part in _ENVIRONMENT.from_string(template).generate(**row):
            parts.append(part)
            size += len(part)
            if size > MAX_RENDERED_CHARACTERS:
                raise TemplateFailed(f"more than {MAX_RENDERED_CHARACTERS} characters")
        return "".join(parts)
    except TemplateFailed:
        raise
    except UndefinedError as error:
        names = meta.find_undeclared_variables(_ENVIRONMENT.parse(template)) - row.keys()
        # Others may be missing on purpose, as in `{% if x is defined %}`.
        missing = [name for name in names if str(error) == f"{name!r} is undefined"]
        raise (_no_column(missing[0], row) if missing else _failed(error)) from error
    # Any exception of an untrusted template is a fault of the template.
    except Exception as error:
        raise _failed(error) from error


def _no_column(name: str, row: Mapping[str, Any]) -> TemplateFailed:
    columns = ", ".join(row)[:MOST_COLUMNS_CHARACTERS]
    return TemplateFailed(
        f"there is no column {name!r}.{did_you_mean(name, row)} Columns are {columns}"
    )


def _failed(error: Exception) -> TemplateFailed:
    return TemplateFailed(" ".join(str(error).split())[:200] or type(error).__name__)


def _is_template(text: str) -> bool:
    return any(mark in text for mark in ("{{", "{%", "{#"))


def _depth(node: nodes.Node) -> int:
    below = max((_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)
