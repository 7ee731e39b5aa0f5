"""A file holds what is read together, and a function is read without scrolling."""

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = (
    ROOT / "libs" / "contracts" / "src",
    ROOT / "libs" / "client" / "src" / "modelmill_client" / "types.py",
)
LONG_FILE_LINES, MAX_FILE_LINES = 400, 600
MAX_FUNCTION_LINES = 40
FILES = sorted(
    file
    for folder in ("libs", "services", "tests", "deploy", "examples")
    for file in (ROOT / folder).rglob("*.py")
    if not any(map(file.is_relative_to, GENERATED)) and "node_modules" not in file.parts
)


def long_functions(tree: ast.AST, path: Path) -> Iterator[str]:
    """Of statements alone: no expression holds a function with a name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines >= MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name} has {lines} lines"
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from long_functions(node, path)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("folder", ["libs", "services", "tests", "deploy", "examples"])
def test_files_stay_under_600_lines_and_functions_under_40(folder: str):
    wrong: list[str] = []
    for file in FILES:
        path = file.relative_to(ROOT)
        if path.parts[0] == folder:
            text = file.read_text("utf-8")
            wrong += long_functions(ast.parse(text), path)
            if (lines := text.count("\n")) > MAX_FILE_LINES:
                wrong.append(f"{path} has {lines} lines")
            elif lines > LONG_FILE_LINES:
                warnings.warn(f"{path} has {lines} lines: does it hold two things?", stacklevel=1)

    assert wrong == []
