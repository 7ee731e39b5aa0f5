"""Texts with places in them: `{{item.question}}`, `{{sample.output_text}}`."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

PLACE = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")


class MissingPlaceError(Exception):
    """A row has nothing for a place of a template."""


def filled(template: str, row: Mapping[str, Any]) -> str:
    """The template with what the row has in its places; nothing of that is a template again.

    Raises:
        MissingPlaceError: the row has nothing there.
    """
    return PLACE.sub(lambda found: _written(looked_up(found[1], row)), template)


def looked_up(path: str, row: Mapping[str, Any]) -> Any:
    """What is at `item.a.b`, or of a list at `item.a.0`.

    Raises:
        MissingPlaceError: nothing is.
    """
    at: Any = row
    for step in path.split("."):
        if isinstance(at, Mapping) and step in at:
            at = at[step]
        elif isinstance(at, Sequence) and not isinstance(at, str) and step.isdecimal():
            if int(step) >= len(at):
                raise MissingPlaceError(f"nothing is at {path}")
            at = at[int(step)]
        else:
            raise MissingPlaceError(f"nothing is at {path}")
    return at


def messages_of(written: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> list[Any]:
    """Turns of a conversation, their texts filled."""
    return [{"role": turn["role"], "content": filled(turn["content"], row)} for turn in written]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
