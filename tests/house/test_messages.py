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
MAY_JOIN = re.compile(rf""";[\s"'f\\]*(?:{VERBS})\b""")
"""In the source of what `JOINED` finds, also where a text is written in several parts."""


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
        if MAY_JOIN.search(source := file.read_text(encoding="utf-8"))
        for line, text in messages(ast.parse(source))
        if JOINED.search(text) and "\n" not in text
    ]
    assert joined == []


STORES = {"manifest.py", "job_checkpoints.py", "verifying_store.py"}
"""What they miss no caller has named; whoever asked them says what it is."""


def refusals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Texts of errors that something is not there; those that others wrote are left out."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        if re.fullmatch(r"(Model)?NotFoundError", node.func.id):
            for _, text in messages(ast.Module([ast.Expr(ast.List([node.args[0]]))], [])):
                yield node.lineno, text


@pytest.mark.parametrize("folder", ["libs", "services"])
def test_what_is_not_there_is_refused_with_a_cause_and_a_remedy(folder: str):
    alone = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in sorted((ROOT / folder).glob("*/src/**/*.py"))
        if not {"contracts", "testkit"} & set(file.parts) and file.name not in STORES
        if "NotFoundError" in (source := file.read_text(encoding="utf-8"))
        for line, text in refusals(ast.parse(source))
        # What they are filled with may be a question of its own, or nothing.
        if re.search("[a-z] ", text) and not re.search(r"\.x? \S", text)
    ]
    assert alone == []
