"""Documents of a policy, as somebody sent them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from modelmill_guard.bundle import Bundle, compile_policy, policy_of
from modelmill_guard.layers import entry_ids, layered
from modelmill_guard.policy import PolicyError, parse_policy
from modelmill_service_kit.errors import InvalidInputError

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


@dataclass(frozen=True)
class Compiled:
    """One bundle of all documents, on top of a default policy where there is one."""

    bundle: Bundle
    default_digest: str = ""
    """Of the policy that it is on top of; empty where it stands alone."""
    default_rules: tuple[str, ...] = ()
    """What of the bundle is the default policy's."""
    removed_default_rules: tuple[str, ...] = ()
    """What the default policy has, and the bundle has not, or only weaker."""


def compile_documents(documents: Mapping[str, str]) -> Compiled:
    """One bundle of all documents, alone; takes seconds for ten thousand rules.

    Raises:
        InvalidInputError: everything that is wrong with them, up to a bound.
    """
    with _listed_errors():
        policy = parse_policy(documents)
        if policy.remove_default_rules:
            raise PolicyError(["remove_default_rules: these are the default rules"])
        return Compiled(compile_policy(policy))


def compile_on_top(
    documents: Mapping[str, str], default: Bundle, removing: Collection[str], *, again: bool = False
) -> Compiled:
    """One bundle of all documents and of what they leave of the default policy.

    Args:
        removing: ids of default rules to leave out, beyond those that the documents name.
        again: the documents were compiled before, on top of a default policy that may have had
            other rules; names of rules that are no more count for nothing.

    Raises:
        InvalidInputError: everything that is wrong with them, up to a bound.
    """
    with _listed_errors():
        own, under = parse_policy(documents), policy_of(default.content)
        unknown = () if again else unknown_names(own.remove_default_rules, default)
        if unknown:
            raise PolicyError(
                [f"remove_default_rules: {name!r} is no default rule" for name in unknown]
            )
        both = layered(own, under, removing)
        bundle = compile_policy(both.policy)
    return Compiled(bundle, default.digest, both.default_ids, both.removed)


def unknown_names(names: Collection[str], default: Bundle) -> tuple[str, ...]:
    """Those that are no rule or judge of the default policy, in order."""
    return tuple(sorted({*names} - entry_ids(policy_of(default.content))))


@contextmanager
def _listed_errors() -> Iterator[None]:
    try:
        yield
    except PolicyError as error:
        shown = error.errors[:MAX_ERRORS]
        more = len(error.errors) - len(shown)
        raise InvalidInputError([*shown, f"and {more} more"] if more else shown) from error
