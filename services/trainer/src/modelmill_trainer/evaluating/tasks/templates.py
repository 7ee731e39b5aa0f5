"""Jinja templates of tasks, in a sandbox: they see one row's columns and nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_RENDERED_CHARACTERS = 1 << 20
MAX_LOOP_DEPTH = 2

STATEMENTS: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.Extends: "extends",
    nodes.Macro: "macro",
}
"""That reach for other files, or call themselves."""
PADDING = {"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"}
"""Methods of texts that make one of any length."""
FILTERS = (
    *("capitalize", "count", "default", "first", "float", "int", "join", "last", "length"),
    *("list", "lower", "replace", "string", "title", "tojson", "trim", "upper"),
)
"""What is left out runs code of a row's choosing, or makes much of little."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "**", "%"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """A text times a number, or padded to one, would fill the memory."""
        if not (_is_small(left) and _is_small(right)):
            raise SecurityError(f"{operator} is for small numbers alone")
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
    """A row cannot be rendered; says why in one line."""


def template_errors(text: str) -> list[str]:
    """What is wrong with a template, without running it."""
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
    """The template's text for a row; a bare name of a column is that column's value.

    Raises:
        TemplateFailed: it reaches for a column that is not there, or for what it must not.
    """
    if template in row:
        return row[template]
    if not _is_template(template):
        if template.isidentifier():
            # A word alone means a column; the same text for every row would measure nothing.
            raise TemplateFailed(f"there is no column {template!r}")
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
    # Whatever a stranger's template does wrong, in Jinja or in what it calls, is its own fault.
    except Exception as error:
        raise TemplateFailed(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _is_template(text: str) -> bool:
    return any(mark in text for mark in ("{{", "{%", "{#"))


def _depth(node: nodes.Node) -> int:
    below = max((_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)
