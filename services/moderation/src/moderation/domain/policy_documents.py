"""Documents of a policy, as somebody sent them."""

from collections.abc import Mapping, Sequence

from guard.bundle import Bundle, compile_policy
from guard.policy import PolicyError, parse_policy
from service_kit.errors import InvalidInputError

MAX_DOCUMENTS = 32
MAX_NAME_CHARACTERS = 128
MAX_ERRORS = 50
"""More are counted: an answer that is too long does not arrive."""


def named_documents(documents: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Texts by name.

    Raises:
        InvalidInputError: none or too many, a name that is used twice, empty or unfit to print.
    """
    errors: list[str] = []
    if not 1 <= len(documents) <= MAX_DOCUMENTS:
        errors.append(f"a policy has from 1 to {MAX_DOCUMENTS} documents, not {len(documents)}")
    by_name = dict(documents)
    if len(by_name) < len(documents):
        errors.append("two documents have the same name")
    for name in by_name:
        if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
            errors.append(
                f"a document's name must be from 1 to {MAX_NAME_CHARACTERS} printable characters"
            )
    if errors:
        raise InvalidInputError(errors)
    return by_name


def compile_documents(documents: Mapping[str, str]) -> Bundle:
    """One bundle of all documents; takes seconds for ten thousand rules.

    Raises:
        InvalidInputError: everything that is wrong with them, up to a bound.
    """
    try:
        return compile_policy(parse_policy(documents))
    except PolicyError as error:
        shown = error.errors[:MAX_ERRORS]
        more = len(error.errors) - len(shown)
        raise InvalidInputError([*shown, f"and {more} more"] if more else shown) from error
