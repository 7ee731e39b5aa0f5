"""Columns of rows: a known layout, what is asked and what is answered, by their names."""

from collections.abc import Collection, Mapping, Sequence

LAYOUT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "openai_chat": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "output"),
    "preference": ("chosen", "rejected"),
    "text": ("text",),
}
"""Columns by which a layout is known, the first that fits."""
LABELS = ("label", "class", "category", "kind", "type", "intent", "topic", "sentiment", "team")
ANSWERS = ("answer", "output", "response", "completion", "target", "reply", "json", "result")
QUESTIONS = ("question", "prompt", "instruction", "input", "query", "text", "message")
BETTER, WORSE = ("chosen", "better", "preferred", "accepted"), ("rejected", "worse", "refused")
ROW_NUMBERS = ("id",)


def known_layout(names: Collection[str], among: Collection[str] = tuple(LAYOUT_COLUMNS)) -> str:
    """The layout of `among` whose columns are there; empty where there is none."""
    fitting = (
        layout
        for layout, needed in LAYOUT_COLUMNS.items()
        if layout in among and {*needed} <= {*names}
    )
    return next(fitting, "")


def column_named(words: Sequence[str], names: Sequence[str]) -> str:
    """The column that has one of the words as its name, or else in it; empty where none has."""
    low = {name.lower(): name for name in names}
    exact = [low[word] for word in words if word in low]
    within = [name for word in words for key, name in low.items() if word in key]
    return next(iter(exact + within), "")


def asked_of(names: Sequence[str]) -> list[str]:
    """Columns that can ask: no row's number, and no name that a template cannot have."""
    return [name for name in names if name.lower() not in ROW_NUMBERS and not {*"{}"} & {*name}]


def template_of(names: Sequence[str]) -> str:
    """Template of these columns; of several each has a line with its name."""
    if len(names) == 1:
        return f"{{{names[0]}}}"
    return "\n".join(f"{name}: {{{name}}}" for name in names)
