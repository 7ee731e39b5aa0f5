"""Converts limit errors of untrusted templates and tokenizers to a permanent job failure."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_jobs.child import ChildFailure
from modelmill_tokenization.bounded import LimitError


@contextmanager
def limits_as_failure() -> Iterator[None]:
    """Raise ChildFailure instead of LimitError, because a retry cannot succeed."""
    try:
        yield
    except LimitError as error:
        raise ChildFailure(error.reason, error.message, "Train another base model.") from error
