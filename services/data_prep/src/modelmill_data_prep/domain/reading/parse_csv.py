"""Parses CSV records."""

import csv

from modelmill_data_prep.domain.reading.faults import MALFORMED_CSV, NOT_UTF8, Fault

_LARGEST_FIELD = 2**31 - 1


def csv_fields(raw: bytes, delimiter: str = ",") -> list[str] | Fault:
    """Fields of one record in UTF-8, with or without line end."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return NOT_UTF8
    if '"' not in text:
        text = text.removesuffix("\n").removesuffix("\r")
        if "\r" not in text and "\n" not in text:
            return text.split(delimiter)
    allow_long_fields()
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return MALFORMED_CSV


def allow_long_fields() -> None:
    """Raise the field limit of the csv module; rows are bounded as a whole."""
    csv.field_size_limit(_LARGEST_FIELD)
