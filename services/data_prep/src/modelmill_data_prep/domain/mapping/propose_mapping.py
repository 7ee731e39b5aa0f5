"""Proposal of a mapping by the names of a file's columns, for who has not said one."""

from collections.abc import Sequence

from modelmill_service_kit.errors import InvalidInputError

LAYOUTS = {
    "openai_chat": {"messages"},
    "sharegpt": {"conversations"},
    "alpaca": {"instruction", "output"},
    "preference": {"chosen", "rejected"},
    "text": {"text"},
}
"""Columns by which a layout is known, the first that fits."""
ANSWERS = (
    *("answer", "output", "response", "completion", "target", "reply", "result"),
    *("label", "class", "category", "kind", "intent", "topic", "sentiment"),
)
"""Words in the name of a column that holds the answer, the surest first."""
NUMBERS = ("id",)
READ_ALONE = {"mapping": {"layout": "text"}}
"""Stands in a spec until the columns are known, of which a mapping is proposed."""


def propose_mapping(columns: Sequence[str]) -> dict[str, str]:
    """A known layout, or else templates: one column is the answer, all others ask.

    Raises:
        InvalidInputError: There are too few columns to ask and to answer.
    """
    for layout, needed in LAYOUTS.items():
        if needed <= {*columns}:
            return {"layout": layout}
    usable = [name for name in columns if name.lower() not in NUMBERS and not {*"{}"} & {*name}]
    if len(usable) < 2:
        raise InvalidInputError(
            "mapping: none can be proposed, for the file has fewer than two columns. Say one"
        )
    answer = _answer(usable)
    asked = [name for name in usable if name != answer]
    lines = [f"{{{asked[0]}}}"] if len(asked) == 1 else [f"{name}: {{{name}}}" for name in asked]
    return {"user_template": "\n".join(lines), "answer_template": f"{{{answer}}}"}


def _answer(columns: Sequence[str]) -> str:
    named = [name for word in ANSWERS for name in columns if word in name.lower()]
    return named[0] if named else columns[-1]
