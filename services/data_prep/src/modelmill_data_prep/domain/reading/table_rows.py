"""Header and rows of tables; rows of binary tables (Parquet, Excel) become JSON objects."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.domain.reading.faults import NO_JSON_VALUE, NOT_UTF8, too_long
from modelmill_data_prep.domain.reading.line_blocks import RawRow, kept_bytes_of

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


_JSON = msgspec.json.Encoder(decimal_format="string")


def json_row(
    number: int, columns: dict[str, Any], max_row_bytes: int, *, has_bytes: bool = False
) -> RawRow:
    """Encode a row as JSON, or return its beginning with a fault. Times are ISO 8601.


    Args:
        has_bytes: Whether values may contain bytes, which are decoded as UTF-8.
    """
    fault = None
    try:
        raw = _JSON.encode(_plain(columns) if has_bytes else columns)
    except UnicodeDecodeError:
        raw, fault = repr(columns).encode("utf-8", "replace"), NOT_UTF8
    except (TypeError, ValueError, OverflowError, RecursionError):
        raw, fault = repr(columns).encode("utf-8", "replace"), NO_JSON_VALUE
    if len(raw) > max_row_bytes:
        fault = too_long(max_row_bytes)
    if fault is not None:
        raw = raw[: kept_bytes_of(max_row_bytes)]
    return number, raw, None if fault is None else fault.written


def _plain(value: Any) -> Any:
    """Decode bytes recursively."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.decode("utf-8") if isinstance(value, bytes) else value
