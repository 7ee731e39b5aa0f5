"""What a row is to a model by a recipe's mapping, before data-prep cleans it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from modelmill_documents.columns import LAYOUT_COLUMNS

from modelmill_recipes.local_rows import Row

PLACE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "system": "system"}
ROLES = (("system", "system"), ("user", "user"), ("answer", "assistant"))

Message = dict[str, Any]


class RowConversation(NamedTuple):
    """A row as messages, the answer last."""

    messages: Sequence[Message]
    rejected: str | None = None
    """Worse answer of a preference pair."""


def columns_of(mapping: Mapping[str, Any]) -> list[str]:
    """Columns that the mapping reads, in order."""
    texts = [str(mapping.get(f"{name}_template") or "") for name in ("system", "user", "answer")]
    texts.append(str(mapping.get("rejected_template") or ""))
    named = [found[1] for text in texts for found in PLACE.finditer(text) if found[1]]
    whole = (mapping.get(each) for each in ("messages_column", "tools_column"))
    named += [str(each) for each in whole if each]
    return list(dict.fromkeys([*named, *LAYOUT_COLUMNS.get(str(mapping.get("layout")), ())]))


def row_conversation(row: Row, mapping: Mapping[str, Any]) -> RowConversation | None:
    """None where a column is missing or empty, or holds something else."""
    try:
        if layout := mapping.get("layout"):
            return _LAYOUTS[layout](row)
        if column := mapping.get("messages_column"):
            return RowConversation(_messages(row[column]))
        texts = [(role, mapping.get(f"{name}_template")) for name, role in ROLES]
        messages = [{"role": role, "content": _filled(text, row)} for role, text in texts if text]
        worse = mapping.get("rejected_template")
        return RowConversation(messages, _filled(worse, row) if worse else None)
    except (KeyError, TypeError, AttributeError, IndexError):
        return None


def _filled(template: str, row: Row) -> str:
    def text(found: re.Match[str]) -> str:
        if not found[1]:
            return found[0][0]
        value = row[found[1]]
        if value in (None, "") or isinstance(value, dict | list):
            raise KeyError(found[1])
        return value if isinstance(value, str) else str(value)

    return PLACE.sub(text, template)


def _messages(value: Sequence[Message]) -> list[Message]:
    return [{**each, "content": each.get("content") or ""} for each in value]


def _sharegpt(row: Row) -> RowConversation:
    turns = [(SPEAKERS[each["from"]], each["value"]) for each in row["conversations"]]
    return RowConversation([{"role": role, "content": text} for role, text in turns])


def _alpaca(row: Row) -> RowConversation:
    asked = "\n".join(each for each in (row["instruction"], row.get("input")) if each)
    answered = {"role": "assistant", "content": row["output"]}
    return RowConversation([{"role": "user", "content": asked}, answered])


def _text(row: Row) -> RowConversation:
    return RowConversation([{"role": "assistant", "content": row["text"]}])


def _preference(row: Row) -> RowConversation:
    chosen, rejected, prompt = row["chosen"], row["rejected"], row.get("prompt")
    if isinstance(chosen, list):
        return RowConversation(_messages(chosen), rejected[-1]["content"])
    asked = _messages(prompt) if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    return RowConversation([*asked, {"role": "assistant", "content": chosen}], rejected)


_LAYOUTS: Mapping[str, Callable[[Row], RowConversation]] = {
    "openai_chat": lambda row: RowConversation(_messages(row["messages"])),
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "text": _text,
    "preference": _preference,
}
