"""The texts inside of a turn's extras: what tool calls were given, down to single numbers."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from modelmill_data_prep.domain.reading.parse_block import parse_json

_ARGUMENTS = "arguments"
"""Of a tool call: JSON that stands in a string."""

_NO_TEXTS = ("id", "tool_call_id", "type")
"""What links turns to each other must stay as it is."""

_OPENED = 2
"""So many JSON texts in each other are opened; what stands further in is a text. With what a value
may nest, that bounds how deep all this goes, whatever a stranger writes."""


def read_json(text: str) -> Any:
    """The value of a JSON text, or the text itself when it is none, or nested too deeply."""
    try:
        return parse_json(text)
    except ValueError:
        return text


def write_json(value: Any) -> str:
    """The value as JSON, also with numbers that do not fit in 64 bits."""
    try:
        return msgspec.json.encode(value).decode()
    except OverflowError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def leaves(tree: Any, opened: int = 0) -> Iterator[str]:
    """All strings and numbers of a JSON value as texts, in its order.

    Args:
        opened: In how many JSON texts the value stands.
    """
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield str(tree)
    elif isinstance(tree, list):
        for item in tree:
            yield from leaves(item, opened)
    elif isinstance(tree, dict):
        for name, item in tree.items():
            if name not in _NO_TEXTS:
                inner = _opened(name, item, opened)
                yield from leaves(inner, opened + (inner is not item))


def with_leaves(tree: Any, texts: Iterator[str], opened: int = 0) -> Any:
    """The value with other texts, as many as `leaves` gives; a number that changed is a string."""
    if isinstance(tree, str):
        return next(texts)
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        text = next(texts)
        return tree if text == str(tree) else text
    if isinstance(tree, list):
        return [with_leaves(item, texts, opened) for item in tree]
    if isinstance(tree, dict):
        return {name: _with_leaves_of(name, item, texts, opened) for name, item in tree.items()}
    return tree


def _with_leaves_of(name: str, item: Any, texts: Iterator[str], opened: int) -> Any:
    if name in _NO_TEXTS:
        return item
    inner = _opened(name, item, opened)
    if inner is item:
        return with_leaves(item, texts, opened)
    changed = with_leaves(inner, texts, opened + 1)
    # The string stays as it was written when nothing in it is another.
    return item if changed == inner else write_json(changed)


def _opened(name: str, item: Any, opened: int) -> Any:
    """Arguments as the object or list that they are."""
    if name == _ARGUMENTS and isinstance(item, str) and opened < _OPENED:
        value = read_json(item)
        return value if isinstance(value, dict | list) else item
    return item
