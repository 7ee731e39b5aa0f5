"""A row as it stands in a dataset: one JSON object, the messages as OpenAI writes them."""

from collections.abc import Mapping
from typing import Any

import msgspec

_JSON = msgspec.json.Encoder()
_parse = msgspec.json.Decoder().decode


def written_row(row: Mapping[str, Any]) -> str:
    """The JSON of one row of `ROWS`, given as a mapping.

    {"messages": [...], "tools": [...], "rejected": "...", "row": <line>}; tools and rejected only
    where the row has them.
    """
    messages = [
        {"role": role, "content": content, **(_parse(extra) if extra else {})}
        for role, content, extra in zip(row["roles"], row["contents"], row["extras"], strict=True)
    ]
    whole: dict[str, Any] = {"messages": messages}
    if row["tools"] is not None:
        whole["tools"] = _parse(row["tools"])
    if row["rejected"] is not None:
        whole["rejected"] = row["rejected"]
    whole["row"] = row["line"]
    return _JSON.encode(whole).decode()
