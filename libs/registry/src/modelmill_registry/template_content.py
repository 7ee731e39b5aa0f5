"""What a chat template reaches for, read from its syntax tree; nothing of it is run.

The reader renders templates in a sandbox, which has the last word. This says no at the door, in
words that name the line, and so keeps such a template out of artifacts that other tools load.
"""

import re
from collections.abc import Iterator
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes

MAX_TEMPLATE_CHARS = 1_000_000
_GENERATION_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""Hugging Face's mark for training masks, which plain Jinja does not know."""
_READS_FILES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
_FUNCTION_ATTRIBUTES = frozenset({"mro", "gi_frame", "gi_code", "cr_frame", "ag_frame"})


def template_problems(source: str) -> list[str]:
    """Why this chat template may not come in; empty when it may."""
    if len(source) > MAX_TEMPLATE_CHARS:
        return [f"is longer than {MAX_TEMPLATE_CHARS} characters"]
    environment = jinja2.Environment(extensions=[jinja2.ext.loopcontrols], autoescape=False)
    try:
        tree = environment.parse(_GENERATION_TAG.sub("", source))
        return sorted(set(_reaches(tree)))
    except jinja2.TemplateSyntaxError as error:
        return [f"is not a Jinja template: line {error.lineno}: {error.message}"]
    except RecursionError:
        return ["is nested too deeply"]


def template_texts(document: object) -> list[str]:
    """The templates in a tokenizer's JSON: one text, or a list of named ones."""
    found = document.get("chat_template") if isinstance(document, dict) else None
    named = found if isinstance(found, list) else [{"template": found}]
    texts: list[Any] = [entry.get("template") for entry in named if isinstance(entry, dict)]
    return [text for text in texts if isinstance(text, str)]


def _reaches(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all(nodes.Node):
        if isinstance(node, _READS_FILES):
            yield f"reads another file, line {node.lineno}"
        elif isinstance(node, nodes.Filter) and node.name == "attr":
            yield f"uses the filter attr, line {node.lineno}"
        name = _attribute(node)
        if name.startswith("_") or name in _FUNCTION_ATTRIBUTES:
            yield f"reaches for the attribute {name[:40]}, line {node.lineno}"


def _attribute(node: nodes.Node) -> str:
    """The name behind a dot or in constant brackets, else nothing."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return node.arg.value if isinstance(node.arg.value, str) else ""
    return ""
