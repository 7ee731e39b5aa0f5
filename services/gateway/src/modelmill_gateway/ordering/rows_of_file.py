"""What is said of a file whose rows are not what training takes as they are."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_service_kit.errors import InvalidInputError

UNKNOWN_COLUMN = "unknown column"
"""How data-prep begins where the file's rows do not have what a mapping reads."""


@contextmanager
def said_of_rows(field: str) -> Iterator[None]:
    """Within the block, a file of other rows is refused with the way to use it all the same."""
    try:
        yield
    except InvalidInputError as error:
        if not error.errors[0].startswith(UNKNOWN_COLUMN):
            raise
        raise InvalidInputError(
            f"{field}: {error.errors[0]}. Make a dataset of the file whose `mapping` says what a"
            " row becomes (POST /v1/datasets, shown by /v1/datasets/preview), and give its id here"
        ) from error
