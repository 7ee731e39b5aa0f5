"""Words of a dataset's row in a line of a terminal."""

import json
from collections.abc import Mapping
from typing import Any

SHOWN_CHARACTERS = 200


def said_of(row: Mapping[str, Any]) -> str:
    """What its messages say, or the row as JSON where it has none; cut where it is long."""
    turns = [f"{turn['role']}: {turn['content']}" for turn in row.get("messages") or ()]
    said = json.dumps(" | ".join(turns) or row, ensure_ascii=False)
    said = said[1:-1] if turns else said
    return said if len(said) <= SHOWN_CHARACTERS else said[: SHOWN_CHARACTERS - 1] + "…"
