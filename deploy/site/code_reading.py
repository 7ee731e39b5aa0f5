"""What modules say of themselves: docstrings of classes and of their attributes, and metrics."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
METRICS = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram"}


class Metric(NamedTuple):
    """A metric as its module defines it."""

    name: str
    """As Prometheus shows it."""
    kind: str
    said: str
    labels: tuple[str, ...]


def attribute_docs(cls: type[Any]) -> dict[str, str]:
    """The docstrings of the attributes that a class itself declares; empty where one has none."""
    body = ast.parse(dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs: dict[str, str] = {}
    last = ""
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
            docs[last] = ""
        elif last and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docs[last], last = one_line(str(node.value.value)), ""
        else:
            last = ""
    return docs


def one_line(text: str | None) -> str:
    """A docstring in one line."""
    return " ".join((text or "").split())


def metrics_of(part: str) -> list[Metric]:
    """The metrics that a part of the repository defines, sorted by name."""
    files = sorted((ROOT / part / "src").rglob("*.py"))
    return sorted({each for file in files for each in _metrics(ast.parse(file.read_text("utf-8")))})


def _metrics(tree: ast.AST) -> Iterator[Metric]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        given = [it.value for it in node.args[:2] if isinstance(it, ast.Constant)]
        if node.func.id in METRICS and len(given) == 2:
            kind = METRICS[node.func.id]
            name = f"{given[0]}_total" if kind == "counter" else str(given[0])
            yield Metric(name, kind, one_line(str(given[1])), _labels(node))


def _labels(call: ast.Call) -> tuple[str, ...]:
    named = [*call.args[2:3], *(it.value for it in call.keywords if it.arg == "labelnames")]
    return tuple(
        str(it.value)
        for each in named
        if isinstance(each, ast.List | ast.Tuple)
        for it in each.elts
        if isinstance(it, ast.Constant)
    )


def classes_with_name(folder: Path) -> dict[str, str]:
    """Docstrings of classes by the `name` that each gives itself."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and (name := _own_name(node)):
                found[name] = one_line((ast.get_docstring(node) or "").partition("\n\n")[0])
    return found


def _own_name(node: ast.ClassDef) -> str:
    for each in node.body:
        match each:
            case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(name))):
                return name
    return ""


def reasons_given(folder: Path) -> list[str]:
    """The narrower words that refusals are given by `because`."""
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="because"), args=[ast.Constant(value=str(reason))]
                ):
                    found.add(reason)
    return sorted(found)


def codes_given(folder: Path) -> list[str]:
    """The codes that single refusals are given."""
    return sorted({code for file in folder.rglob("*.py") for code in codes_in(file.read_text())})


def codes_in(source: str) -> list[str]:
    """Those of a module or class."""
    return re.findall(r'\bcode ?= ?"([a-z][a-z_]+)"', source)
