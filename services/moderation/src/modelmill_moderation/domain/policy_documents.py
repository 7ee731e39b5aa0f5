"""Compiles the YAML documents of a policy."""

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
"""Listed errors; further ones are counted, to bound the size of the response."""


def named_documents(documents: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Validate names; returns texts by name.

    Raises:
        InvalidInputError: None or too many, or a name is repeated, empty or not printable.
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
    """Bundle of all documents and the inherited default policy, if any."""

    bundle: Bundle
    default_digest: str = ""
    """Digest of the default policy below it; empty if there is none."""
    default_rules: tuple[str, ...] = ()
    """Ids inherited from the default policy."""
    removed_default_rules: tuple[str, ...] = ()
    """Ids of the default policy that are removed or weakened."""


def compile_documents(documents: Mapping[str, str]) -> Compiled:
    """Compile documents without a default policy; takes seconds for ten thousand rules.

    Raises:
        InvalidInputError: Lists all errors, up to `MAX_ERRORS`.
    """
    with _listed_errors():
        policy = parse_policy(documents)
        if policy.remove_default_rules:
            raise PolicyError(["remove_default_rules: these are the default rules"])
        return Compiled(compile_policy(policy))


def compile_on_top(
    documents: Mapping[str, str], default: Bundle, removing: Collection[str], *, again: bool = False
) -> Compiled:
    """Compile documents on top of the default policy.

    Args:
        removing: Ids of default rules to remove, besides those named in the documents.
        again: The documents were compiled before, on top of another default policy. Names of
        rules that no longer exist are ignored.

    Raises:
        InvalidInputError: Lists all errors, up to `MAX_ERRORS`.
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
    """Sorted names that are not rules or judges of the default policy."""
    return tuple(sorted({*names} - entry_ids(policy_of(default.content))))


@contextmanager
def _listed_errors() -> Iterator[None]:
    try:
        yield
    except PolicyError as error:
        shown = error.errors[:MAX_ERRORS]
        more = len(error.errors) - len(shown)
        raise InvalidInputError([*shown, f"and {more} more"] if more else shown) from error
