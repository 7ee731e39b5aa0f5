"""What a message tells somebody to do is a sentence of its own, behind the one that says why."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERBS = (
    "ask|bring|cancel|check|come|complete|create|delete|demand|evaluate|export|free|get|give|keep|"
    "leave|let|look|make|mend|move|name|raise|remove|renew|repeat|replace|retire|retry|revoke|"
    "rotate|save|see|send|set|shorten|stop|try|use|wait|watch|write"
)
JOINED = re.compile(rf"; (?:{VERBS})\b[^.]*$")
"""A remedy behind a semicolon; what ends with a full stop is a description, not a message."""


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Its texts but for docstrings, with their lines; what they are filled with is left out."""
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            docs |= {id(part) for part in node.values}
            parts = (it.value if isinstance(it, ast.Constant) else "x" for it in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        ):
            yield node.lineno, node.value


@pytest.mark.parametrize("folder", ["libs", "services"])
def test_a_remedy_is_a_sentence_of_its_own(folder: str):
    joined = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in sorted((ROOT / folder).glob("*/src/**/*.py"))
        if "contracts" not in file.parts
        for line, text in messages(ast.parse(file.read_text(encoding="utf-8")))
        if JOINED.search(text) and "\n" not in text
    ]
    assert joined == []
