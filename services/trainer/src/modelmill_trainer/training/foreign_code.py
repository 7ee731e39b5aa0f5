"""What a run says when the chat template or tokenizer of its base passes a limit."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_jobs.child import ChildFailure
from modelmill_tokenization.bounded import LimitError


@contextmanager
def limits_end_the_run() -> Iterator[None]:
    """The run cannot succeed, however often it is tried: ChildFailure instead of LimitError."""
    try:
        yield
    except LimitError as error:
        raise ChildFailure(error.reason, error.message, "Train another base model.") from error
