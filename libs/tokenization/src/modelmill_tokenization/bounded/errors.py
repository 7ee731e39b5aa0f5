"""What a caller is told when the foreign code of a model went past its limits."""

from modelmill_service_kit.errors import PreconditionError

LIMIT_REASON = "TEMPLATE_LIMIT"


class LimitError(PreconditionError):
    """The chat template or tokenizer of a model needed more than it may have."""

    reason = LIMIT_REASON
    what = "was stopped at its limit"
    """Which limit it passed, for messages of others."""


def limit_error(what: str) -> LimitError:
    """The error for one request.

    Args:
        what: the limit that was passed, as "took more than 1 s of CPU time".
    """
    error = LimitError(
        f"the model's chat template or tokenizer {what} for this request and was stopped. "
        "Send a shorter request, or import the model with a template that ends"
    )
    error.what = what
    return error
