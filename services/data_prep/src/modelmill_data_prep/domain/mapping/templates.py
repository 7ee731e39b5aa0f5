"""Texts with {column} places: looked up by their literal name, never evaluated."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Template:
    """A parsed template: literal texts and column names by turns, a literal first and last."""

    literals: tuple[str, ...]
    """One more than `columns`."""

    columns: tuple[str, ...]
    """In the order of their places; a column may come twice."""

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with every place replaced by its column's value.

        A value is put in as it is: braces inside it mean nothing.

        Raises:
            KeyError: `values` lacks a column of this template.
        """
        parts = [self.literals[0]]
        for column, literal in zip(self.columns, self.literals[1:], strict=True):
            parts += (values[column], literal)
        return "".join(parts)


def parse_template(text: str) -> Template:
    """Parse `text`; `{name}` is a place, `{{` and `}}` stand for braces.

    All that is between two braces is the name of a column, dots, colons and brackets included:
    there are no attributes, indexes, conversions or format specs, so a template reads columns and
    nothing else.

    Raises:
        InvalidInputError: A brace without its partner, or a place without a name.
    """
    literals, columns, errors, start = [""], [], [], 0
    for token in _TOKEN.finditer(text):
        literals[-1] += text[start : token.start()]
        start = token.end()
        if token.group() in ("{{", "}}"):
            literals[-1] += token.group()[0]
        elif token.group(1):
            columns.append(token.group(1))
            literals.append("")
        elif token.group(1) == "":
            errors.append(f"a place without a column name at character {token.start()}")
        else:
            errors.append(f"a single {token.group()} at character {token.start()}. Double it")
    if errors:
        raise InvalidInputError(errors)
    literals[-1] += text[start:]
    return Template(tuple(literals), tuple(columns))
