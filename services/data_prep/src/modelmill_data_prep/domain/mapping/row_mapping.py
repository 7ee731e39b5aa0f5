"""Validated mapping from columns to conversations, by a layout or by templates.

{column} placeholders of a template are looked up literally and never evaluated.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelmill_documents.columns import LAYOUT_COLUMNS
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


MAX_TEMPLATE_CHARACTERS = 20_000

MAX_PLACES = 16
"""Maximum uses of one column over all templates, which bounds the growth of a row."""

_TEMPLATES = ("system", "user", "answer", "rejected")


@dataclass(frozen=True)
class RowMapping:
    """Mapping by `layout`, by `messages_column`, or by templates `user` and `answer`."""

    system: Template | None = None
    user: Template | None = None
    answer: Template | None = None
    rejected: Template | None = None
    messages_column: str = ""
    layout: str = ""
    tools_column: str = ""

    @property
    def templates(self) -> list[tuple[str, Template]]:
        """Role and template of each message, in order."""
        named = (("system", self.system), ("user", self.user), ("assistant", self.answer))
        return [(role, template) for role, template in named if template]

    @property
    def text_columns(self) -> list[str]:
        """Distinct columns that templates read, in order of first use."""
        templates = [template for _, template in self.templates]
        if self.rejected:
            templates.append(self.rejected)
        return list(dict.fromkeys(column for one in templates for column in one.columns))

    @property
    def columns(self) -> list[str]:
        """Distinct columns that the file must have."""
        named = [*self.text_columns, *LAYOUT_COLUMNS.get(self.layout, ())]
        named += [column for column in (self.messages_column, self.tools_column) if column]
        return list(dict.fromkeys(named))


def plan_mapping(spec: Mapping[str, Any]) -> RowMapping:
    """Validate a `modelmill.data_prep.v1.RowMapping`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
    """
    texts = {field: str(spec.get(f"{field}_template", "")) for field in _TEMPLATES}
    messages_column, layout = str(spec.get("messages_column", "")), str(spec.get("layout", ""))
    tools_column = str(spec.get("tools_column", ""))
    templates: dict[str, Template | None] = {}
    errors: list[str] = []
    for field, text in texts.items():
        try:
            templates[field] = _plan_template(field, text)
        except InvalidInputError as error:
            errors += error.errors
    errors += _repeat_errors(templates.values())
    errors += _choice_errors(texts, messages_column, layout)
    if layout and layout not in LAYOUT_COLUMNS:
        known = ", ".join(LAYOUT_COLUMNS)
        errors.append(f"mapping: unknown layout {layout[:64]!r}. Use {known}")
    if layout == "text" and tools_column:
        errors.append("mapping: a text calls no tools. Leave out tools_column")
    if errors:
        raise InvalidInputError(errors)
    return RowMapping(
        **templates, messages_column=messages_column, layout=layout, tools_column=tools_column
    )


def _repeat_errors(templates: Iterable[Template | None]) -> list[str]:
    """Errors of templates that use a column too often."""
    places = Counter(column for template in templates if template for column in template.columns)
    return [
        f"mapping: column {column[:64]!r} stands in {times} places, more than {MAX_PLACES}"
        for column, times in places.items()
        if times > MAX_PLACES
    ]


def _choice_errors(texts: Mapping[str, str], messages_column: str, layout: str) -> list[str]:
    """Errors of giving none or several of the three ways."""
    errors = []
    if messages_column and layout:
        errors.append("mapping: give either messages_column or layout, not both")
    for name, given in (("messages_column", messages_column), ("layout", layout)):
        if given:
            errors += [
                f"mapping: give either {name} or {field}_template, not both"
                for field, text in texts.items()
                if text
            ]
    if not messages_column and not layout:
        errors += [
            f"mapping: {field}_template is missing (or give messages_column or layout)"
            for field in ("user", "answer")
            if not texts[field]
        ]
    return errors


def _plan_template(field: str, text: str) -> Template | None:
    if not text:
        return None
    if len(text) > MAX_TEMPLATE_CHARACTERS:
        limit = MAX_TEMPLATE_CHARACTERS
        raise InvalidInputError(f"mapping: {field}_template is longer than {limit} characters")
    try:
        template = parse_template(text)
    except InvalidInputError as error:
        wrong = [f"mapping: {field}_template has {one}" for one in error.errors]
        raise InvalidInputError(wrong) from None
    if field != "system" and not template.columns:
        raise InvalidInputError(
            f"mapping: {field}_template has no {{column}}: every row would be the same"
        )
    return template
