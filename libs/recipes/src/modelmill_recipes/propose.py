"""Proposes a recipe from the first rows of a file: what of them is asked, what is answered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeGuard, get_args

from modelmill_service_kit.errors import InvalidInputError

from modelmill_recipes.local_rows import LocalRows, Row, UnreadHereError

Kind = Literal["classify", "extract", "chat", "continue", "preference", "distill"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LOOKED_AT = 1000
"""Rows."""
MOST_LABELS = 50
LABELS = ("label", "class", "category", "kind", "type", "intent", "topic", "sentiment", "team")
ANSWERS = ("answer", "output", "response", "completion", "target", "reply", "json", "result")
QUESTIONS = ("question", "prompt", "instruction", "input", "query", "text", "message")
BETTER, WORSE = ("chosen", "better", "preferred", "accepted"), ("rejected", "worse", "refused")


def is_kind(word: str) -> TypeGuard[Kind]:
    """Whether there is such a kind."""
    return word in KINDS


@dataclass(frozen=True)
class Columns:
    """The first rows of a file, by their columns."""

    rows: Sequence[Row]

    @classmethod
    def of(cls, file: Path) -> "Columns":
        """Of JSON lines, CSV with a header, Parquet or plain text.

        Raises:
            InvalidInputError: it is neither, or not UTF-8. Data-prep reads more than this: the
                mapping can be written by hand.
            OSError: it cannot be read.
        """
        try:
            rows = [*islice(LocalRows(file), LOOKED_AT)]
        except UnreadHereError as error:
            raise InvalidInputError(
                f"{error.message}. Write the mapping by hand;"
                " `mill data preview` shows how Modelmill reads it"
            ) from None
        if not rows:
            raise InvalidInputError(f"{file}: has no rows")
        return cls(rows)

    @property
    def names(self) -> list[str]:
        """In their order."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def values(self, name: str) -> list[str]:
        """Of a column, as text."""
        return [str(row[name]) for row in self.rows if row.get(name) not in (None, "")]

    def named(self, words: Sequence[str]) -> str:
        """The column that has one of the names, or else has one in its name; empty where none."""
        low = {name.lower(): name for name in self.names}
        exact = [low[word] for word in words if word in low]
        within = [name for word in words for key, name in low.items() if word in key]
        return next(iter(exact + within), "")


def propose_mapping(kind: Kind, columns: Columns) -> dict[str, str]:
    """How a row becomes a conversation.

    Raises:
        InvalidInputError: no column can be the answer; names those that there are.
    """
    known = _layout(kind, columns)
    return known or _OF_KIND[kind](columns)


def _layout(kind: Kind, columns: Columns) -> dict[str, str]:
    """Of files whose columns have the names of a known layout."""
    names = set(columns.names)
    if kind == "continue" and "text" in names:
        return {"layout": "text"}
    if kind == "preference" and {"chosen", "rejected"} <= names:
        return {"layout": "preference"}
    if kind == "chat":
        if "messages" in names:
            return {"layout": "openai_chat"}
        if "conversations" in names:
            return {"layout": "sharegpt"}
        if {"instruction", "output"} <= names:
            return {"layout": "alpaca"}
    return {}


def _classify(columns: Columns) -> dict[str, str]:
    label = _label(columns)
    return {"user_template": _asked(columns, {label}), "answer_template": f"{{{label}}}"}


def _label(columns: Columns) -> str:
    """The column that is called so, or else the one with the fewest different values."""
    if named := columns.named(LABELS):
        return named
    counts = {name: len(set(columns.values(name))) for name in columns.names}
    few = {
        name: count
        for name, count in counts.items()
        if 2 <= count <= min(MOST_LABELS, max(2, len(columns.rows) // 2))
    }
    if not few:
        raise _no_column("the label: it would have 2 to 50 different values", columns)
    return min(few, key=lambda name: few[name])


def _answer(columns: Columns) -> dict[str, str]:
    answer = columns.named(ANSWERS)
    if not answer:
        question = columns.named(QUESTIONS)
        others = [name for name in columns.names if name != question]
        if not question or len(others) != 1:
            raise _no_column("the answer", columns)
        (answer,) = others
    return {"user_template": _asked(columns, {answer}), "answer_template": f"{{{answer}}}"}


def _preference(columns: Columns) -> dict[str, str]:
    better, worse = columns.named(BETTER), columns.named(WORSE)
    if not better or not worse:
        raise _no_column("the better and the worse answer, as chosen and rejected", columns)
    return {
        "user_template": _asked(columns, {better, worse}),
        "answer_template": f"{{{better}}}",
        "rejected_template": f"{{{worse}}}",
    }


def _continue(columns: Columns) -> dict[str, str]:
    raise _no_column("text, which is what continued pre-training reads: rename it so", columns)


def _asked(columns: Columns, others: set[str]) -> str:
    """All other columns that are not numbers of rows; of several each on a line."""
    names = [name for name in columns.names if name not in others and name.lower() != "id"]
    if not names:
        raise _no_column("what is asked", columns)
    if len(names) == 1:
        return f"{{{names[0]}}}"
    return "\n".join(f"{name}: {{{name}}}" for name in names)


def _no_column(what: str, columns: Columns) -> InvalidInputError:
    return InvalidInputError(
        f"no column is {what}. The file has {', '.join(columns.names)}. Rename one, or write the"
        " mapping of the recipe by hand"
    )


_OF_KIND: Mapping[Kind, Callable[[Columns], dict[str, str]]] = {
    "classify": _classify,
    "extract": _answer,
    "chat": _answer,
    "continue": _continue,
    "preference": _preference,
    "distill": _answer,
}
