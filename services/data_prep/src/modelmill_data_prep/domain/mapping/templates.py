"""Templates with {column} placeholders, which are looked up literally and never evaluated."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Template:
    """A parsed template: alternating literals and column names, with a literal first and last."""

    literals: tuple[str, ...]
    """One more than `columns`."""

    columns: tuple[str, ...]
    """Columns in order of placeholders; repeats are possible."""

    def fill(self, values: Mapping[str, str]) -> str:
        """Substitute all placeholders; braces inside values have no meaning.


        Raises:
            KeyError: A column is missing in `values`.
        """
        parts = [self.literals[0]]
        for column, literal in zip(self.columns, self.literals[1:], strict=True):
            parts += (values[column], literal)
        return "".join(parts)


def parse_template(text: str) -> Template:
    """Parse `text`; `{name}` is a placeholder, `{{` and `}}` are escaped braces.

    Everything between braces is a column name. There are no attributes, indexes, conversions or
    format specs, so a template can only read columns.

    Raises:
        InvalidInputError: A brace is unmatched, or a placeholder has no name.
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
