"""Errors of one of several files, with its name."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_service_kit.errors import InvalidInputError


@contextmanager
def named(file: str) -> Iterator[None]:
    """Put the file's name before each error within; an empty name changes nothing."""
    try:
        yield
    except InvalidInputError as error:
        if not file:
            raise
        raise InvalidInputError([f"{file}: {each}" for each in error.errors]) from error
