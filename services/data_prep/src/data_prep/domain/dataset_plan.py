"""What a caller wants a dataset to be, checked as a whole."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from service_kit.errors import InvalidInputError

from data_prep.domain.templates import Template, parse_template

MAX_NAME_CHARACTERS = 100
MAX_TEMPLATE_CHARACTERS = 20_000
MAX_COLUMNS_LISTED = 50
_SUM_TOLERANCE = 1e-6

Planned = TypeVar("Planned")


@dataclass(frozen=True)
class RowMapping:
    """How a row becomes a conversation: by `messages_column`, or by `user` and `answer`."""

    system: Template | None = None
    user: Template | None = None
    answer: Template | None = None
    messages_column: str = ""

    @property
    def columns(self) -> list[str]:
        """Every column read, once each, in the order of their first place."""
        templates = [part for part in (self.system, self.user, self.answer) if part]
        named = [column for template in templates for column in template.columns]
        if self.messages_column:
            named.append(self.messages_column)
        return list(dict.fromkeys(named))


@dataclass(frozen=True)
class SplitShares:
    """Shares of the rows; they add up to 1."""

    train: float = 0.8
    valid: float = 0.1
    test: float = 0.1


@dataclass(frozen=True)
class DatasetPlan:
    """A spec with nothing wrong in it, defaults filled in."""

    name: str
    mapping: RowMapping
    shares: SplitShares
    seed: int
    max_test_rows: int
    """0 means no limit."""


def plan_dataset(spec: Mapping[str, Any]) -> DatasetPlan:
    """Check a `modelmill.data_prep.v1.DatasetSpec` given as a mapping with its field names.

    Raises:
        InvalidInputError: Everything that is wrong with the spec.
    """
    errors: list[str] = []
    name = str(spec.get("name", ""))
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        errors.append(f"name must be at most {MAX_NAME_CHARACTERS} printable characters")
    mapping = _gather(errors, lambda: _plan_mapping(spec.get("mapping", {})), RowMapping())
    shares = _gather(errors, lambda: _plan_shares(spec.get("shares", {})), SplitShares())
    if errors:
        raise InvalidInputError(errors)
    seed, max_test_rows = int(spec.get("seed", 0)), int(spec.get("max_test_rows", 0))
    return DatasetPlan(name, mapping, shares, seed, max_test_rows)


def check_columns(mapping: RowMapping, known: Iterable[str]) -> None:
    """Refuse a mapping that reads a column that no row has.

    Raises:
        InvalidInputError: Names every such column and lists those of the file.
    """
    columns = list(known)
    unknown = [column for column in mapping.columns if column not in columns]
    if not unknown:
        return
    listed = ", ".join(repr(column[:64]) for column in columns[:MAX_COLUMNS_LISTED])
    more = f" and {len(columns) - MAX_COLUMNS_LISTED} more" if columns[MAX_COLUMNS_LISTED:] else ""
    raise InvalidInputError(
        [f"unknown column {column[:64]!r}; the file has {listed}{more}" for column in unknown]
    )


def _plan_mapping(spec: Mapping[str, Any]) -> RowMapping:
    errors: list[str] = []
    texts = {
        field: str(spec.get(f"{field}_template", "")) for field in ("system", "user", "answer")
    }
    templates: dict[str, Template | None] = {
        field: _gather(errors, partial(_plan_template, field, text), None)
        for field, text in texts.items()
    }
    messages_column = str(spec.get("messages_column", ""))
    if messages_column:
        errors += [
            f"mapping: give either messages_column or {field}_template, not both"
            for field, text in texts.items()
            if text
        ]
    else:
        errors += [
            f"mapping: {field}_template is missing (or give messages_column)"
            for field in ("user", "answer")
            if not texts[field]
        ]
    if errors:
        raise InvalidInputError(errors)
    return RowMapping(**templates, messages_column=messages_column)


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


def _plan_shares(spec: Mapping[str, Any]) -> SplitShares:
    values = {split: float(spec.get(split, 0)) for split in ("train", "valid", "test")}
    if not any(values.values()):
        return SplitShares()
    errors = [
        f"shares: {split} must be between 0 and 1, got {value:g}"
        for split, value in values.items()
        if not 0 <= value <= 1
    ]
    if values["train"] == 0:
        errors.append("shares: train must be above 0")
    total = math.fsum(values.values())
    if not errors and abs(total - 1) > _SUM_TOLERANCE:
        errors.append(f"shares must add up to 1, got {total:g}")
    if errors:
        raise InvalidInputError(errors)
    return SplitShares(**values)


def _gather(errors: list[str], plan: Callable[[], Planned], otherwise: Planned) -> Planned:
    """The planned part, or `otherwise` with what is wrong added to `errors`."""
    try:
        return plan()
    except InvalidInputError as error:
        errors += error.errors
        return otherwise
