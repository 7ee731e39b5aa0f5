"""Proposes a recipe from the first rows of its files: what of them is asked, what is answered."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeGuard, get_args

from modelmill_documents.columns import (
    ANSWERS,
    BETTER,
    LABELS,
    QUESTIONS,
    WORSE,
    asked_of,
    column_named,
    known_layout,
    template_of,
)
from modelmill_documents.document_format import document_format_of
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_recipes.local_rows import LocalRows, Row, UnreadHereError
from modelmill_recipes.row_conversation import columns_of

Kind = Literal["classify", "extract", "chat", "continue", "preference", "distill"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LOOKED_AT = 1000
"""Rows."""
MOST_DOCUMENTS = 5
MOST_LABELS = 50
LAYOUTS: Mapping[Kind, Collection[str]] = {
    "continue": ("text",),
    "preference": ("preference",),
    "chat": ("openai_chat", "sharegpt", "alpaca"),
}
"""Those that rows of a kind may have."""


def is_kind(word: str) -> TypeGuard[Kind]:
    """Whether there is such a kind."""
    return word in KINDS


@dataclass(frozen=True)
class Columns:
    """The first rows of files, by their columns."""

    files: Mapping[Path, Sequence[Row]]

    @classmethod
    def of(cls, files: Sequence[Path]) -> "Columns":
        """Of JSON lines, CSV with a header, Parquet, plain text or documents.

        Of many documents some are read, which stand for all; those that are refused are left out.

        Raises:
            InvalidInputError: One is neither, or has an unknown encoding. Data-prep reads more than
                this: the mapping can be written by hand.
            OSError: One cannot be read.
        """
        found: dict[Path, Sequence[Row]] = {}
        documents = 0
        for file in files:
            if not document_format_of(file.name):
                found[file] = _first_rows(file)
            elif documents < MOST_DOCUMENTS and (rows := [*islice(LocalRows(file), LOOKED_AT)]):
                documents += 1
                found[file] = rows
        if not found:
            raise InvalidInputError(
                f"none of {len(files)} documents can be read."
                " `mill data preview FILE --layout text` says why"
            )
        return cls(found)

    @property
    def rows(self) -> Sequence[Row]:
        """Of all files."""
        return [row for rows in self.files.values() for row in rows]

    @property
    def names(self) -> list[str]:
        """In their order."""
        return _names(self.rows)

    def usual(self, besides: Collection[str]) -> list[str]:
        """Those of the most files; where none is in all, those of the first file that has such."""
        having = {name: self.having(name) for name in self.names if name not in besides}
        most = max(map(len, having.values()), default=0)
        usual = [name for name, files in having.items() if len(files) == most]
        return [name for name in usual if having[name][0] == having[usual[0]][0]]

    def having(self, name: str) -> list[Path]:
        """Files that have a column."""
        return [file for file, rows in self.files.items() if any(name in row for row in rows)]

    def values(self, name: str) -> list[str]:
        """Of a column, as text."""
        return [str(row[name]) for row in self.rows if row.get(name) not in (None, "")]

    def named(self, words: Sequence[str]) -> str:
        """The column that has one of the names, or else has one in its name; empty where none."""
        return column_named(words, self.names)


def propose_mapping(kind: Kind, columns: Columns) -> dict[str, str]:
    """How a row becomes a conversation.

    Raises:
        InvalidInputError: No column can be the answer; names those that there are. Or a file has
            not the columns of the others; each is named with the column that it lacks.
    """
    layout = known_layout(columns.names, LAYOUTS.get(kind, ()))
    mapping = {"layout": layout} if layout else _OF_KIND[kind](columns)
    _check_that_all_fit(mapping, columns)
    return mapping


def _check_that_all_fit(mapping: Mapping[str, str], columns: Columns) -> None:
    errors = []
    for name in columns_of(mapping):
        having = columns.having(name)
        for file in columns.files:
            if file not in having:
                own = _names(columns.files[file])
                errors.append(
                    f"{file}: has no column {name!r}, which {having[0].name} has."
                    f"{did_you_mean(name, own)} It has {', '.join(own)}. Rename one, or give each"
                    " sort of file a recipe of its own"
                )
    if errors:
        raise InvalidInputError(errors)


def _first_rows(file: Path) -> Sequence[Row]:
    try:
        rows = [*islice(LocalRows(file), LOOKED_AT)]
    except UnreadHereError as error:
        raise InvalidInputError(
            f"{error.message}. Write the mapping by hand;"
            " `mill data preview` shows how Modelmill reads it"
        ) from None
    if not rows:
        raise InvalidInputError(f"{file}: has no rows")
    return rows


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _classify(columns: Columns) -> dict[str, str]:
    label = _label(columns)
    return {"user_template": _asked(columns, {label}), "answer_template": template_of([label])}


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
    return min(few, key=lambda name: (-len(columns.having(name)), few[name]))


def _answer(columns: Columns) -> dict[str, str]:
    if all(document_format_of(file.name) for file in columns.files):
        raise InvalidInputError(
            "documents have no answers. `mill data generate FILE ... --teacher MODEL` has a model"
            " write questions and answers about them; `--kind continue` learns their text as it is"
        )
    answer = columns.named(ANSWERS)
    if not answer:
        question = columns.named(QUESTIONS)
        others = columns.usual({question})
        if not question or len(others) != 1:
            raise _no_column("the answer", columns)
        (answer,) = others
    return {"user_template": _asked(columns, {answer}), "answer_template": template_of([answer])}


def _preference(columns: Columns) -> dict[str, str]:
    better, worse = columns.named(BETTER), columns.named(WORSE)
    if not better or not worse:
        raise _no_column("the better and the worse answer, as chosen and rejected", columns)
    return {
        "user_template": _asked(columns, {better, worse}),
        "answer_template": template_of([better]),
        "rejected_template": template_of([worse]),
    }


def _continue(columns: Columns) -> dict[str, str]:
    raise _no_column("text, which is what continued pre-training reads: rename it so", columns)


def _asked(columns: Columns, others: set[str]) -> str:
    """All other columns that are not numbers of rows; of several each on a line."""
    silent = {*columns.names} - {*asked_of(columns.names)}
    names = columns.usual(others | silent)
    if not names:
        raise _no_column("what is asked", columns)
    return template_of(names)


def _no_column(what: str, columns: Columns) -> InvalidInputError:
    return InvalidInputError(
        f"no column is {what}. {'The files have' if len(columns.files) > 1 else 'The file has'}"
        f" {', '.join(columns.names)}. Rename one, or write the mapping of the recipe by hand"
    )


_OF_KIND: Mapping[Kind, Callable[[Columns], dict[str, str]]] = {
    "classify": _classify,
    "extract": _answer,
    "chat": _answer,
    "continue": _continue,
    "preference": _preference,
    "distill": _answer,
}
