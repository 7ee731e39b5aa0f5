"""Validates the header row of a table."""

from collections import Counter
from collections.abc import Sequence

from modelmill_service_kit.errors import InvalidInputError

_LISTED_ERRORS = 20


def column_names(fields: Sequence[str], table: str) -> tuple[str, ...]:
    """Stripped column names.

    Args:
        table: Name of the table kind, for error messages.

    Raises:
        InvalidInputError: A column has no name, or a duplicate name.
    """
    names = [name.strip() for name in fields]
    errors = [
        f"column {place} of the {table} header has no name"
        for place, name in enumerate(names, start=1)
        if not name
    ]
    twice = sorted(name for name, times in Counter(names).items() if name and times > 1)
    errors += [f"the {table} header names column {name[:64]!r} twice" for name in twice]
    if errors:
        raise InvalidInputError(errors[:_LISTED_ERRORS])
    return tuple(names)
