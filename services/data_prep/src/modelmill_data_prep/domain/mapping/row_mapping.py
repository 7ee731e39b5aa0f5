"""Validated mapping from columns to conversations."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.mapping.templates import Template, parse_template

MAX_TEMPLATE_CHARACTERS = 20_000

MAX_PLACES = 16
"""Maximum uses of one column over all templates, which bounds the growth of a row."""

LAYOUT_COLUMNS = {
    "openai_chat": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "output"),
    "text": ("text",),
    "preference": ("chosen", "rejected"),
}
"""Required columns by layout."""

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
