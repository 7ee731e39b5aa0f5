"""What a comment, a README or a proto points at by its dotted name is there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    folder.name: folder
    for folder in ROOT.glob("*/*/src/*")
    if folder.is_dir() and folder.name != "modelmill"
}
# Subjects of the bus and names of spans look the same, but have no capitals.
POINTER = re.compile(rf"`((?:{'|'.join(PACKAGES)})\.(?:\w+\.)*[A-Z]\w*(?:\.\w+)*)(?:\(\))?`")
KINDS = ("*.py", "*.md", "*.proto")
FOLDERS = ("libs", "services", "proto", "tests", "deploy", "examples")


@cache
def names(file: Path) -> frozenset[str]:
    """What a module has at its top, and what its classes have."""
    return frozenset(_names(ast.parse(file.read_text("utf-8")).body))


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.ClassDef(name=name, body=inner):
                yield name
                yield from (f"{name}.{each}" for each in _names(inner))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (each.id for each in targets if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.ImportFrom(names=imported):
                yield from (each.asname or each.name for each in imported)


def is_there(pointer: str) -> bool:
    first, *rest = pointer.split(".")
    place = PACKAGES[first]
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    if rest and (place / f"{rest[0]}.py").is_file():
        place /= f"{rest.pop(0)}.py"
    else:
        place /= "__init__.py"
    return not rest or (place.is_file() and ".".join(rest) in names(place))


@pytest.mark.parametrize("folder", [".", *FOLDERS])
def test_what_a_text_points_at_exists(folder: str):
    find = Path.glob if folder == "." else Path.rglob
    dangling = {
        f"{file.relative_to(ROOT)}: {pointer}"
        for kind in KINDS
        for file in find(ROOT / folder, kind)
        for pointer in POINTER.findall(file.read_text("utf-8"))
        if not is_there(pointer)
    }
    assert not dangling
