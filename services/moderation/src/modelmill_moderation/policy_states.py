"""Versions of policies as they are stored: made of documents, and compiled again."""

from collections.abc import Collection, Mapping

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.moderation.v1.moderation_service_pb2 import PolicyDocument
from modelmill_guard.bundle import Bundle, CompiledPolicy, as_yaml
from modelmill_guard.policy import PolicyError
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_moderation.domain.policy_documents import Compiled, compile_documents, compile_on_top

MAX_RECORD_BYTES = 900_000
"""A broker takes messages up to 1 MB."""


def say(state: PolicyState, compiled: Compiled, documents: Mapping[str, str]) -> None:
    """Write into the state what was compiled of which documents."""
    state.digest, state.bundle = compiled.bundle.digest, compiled.bundle.content
    state.documents.extend(PolicyDocument(name=n, text=text) for n, text in documents.items())
    state.default_digest = compiled.default_digest
    state.default_rules.extend(compiled.default_rules)
    state.removed_default_rules.extend(compiled.removed_default_rules)


def say_alike(one: PolicyState, other: PolicyState) -> bool:
    """Whether two versions judge alike, were written alike and are on top of the same policy."""
    return (
        (one.digest, one.default_digest) == (other.digest, other.default_digest)
        and list(one.documents) == list(other.documents)
        and list(one.removed_default_rules) == list(other.removed_default_rules)
    )


def check_size(state: PolicyState) -> None:
    """Raise InvalidInputError for a version that is more than one message may be."""
    size = state.ByteSize()
    if size > MAX_RECORD_BYTES:
        raise InvalidInputError(
            f"the policy takes {size} bytes with its documents; the limit is {MAX_RECORD_BYTES}"
        )


def documents_of(state: PolicyState) -> dict[str, str]:
    """What people wrote of a version, or the bundle as such a document."""
    if state.documents:
        return {document.name: document.text for document in state.documents}
    return {"policy.yaml": as_yaml(state.bundle)}


def compiled_again(old: PolicyState, default: Bundle | None, removing: Collection[str]) -> Compiled:
    """What the version comes to on top of the default policy of today; alone with None.

    Raises:
        PreconditionError: its documents do not compile (any more).
    """
    try:
        if default is None:
            return Compiled(_bundle_again(old))
        gone = {*old.removed_default_rules, *removing}
        return compile_on_top(documents_of(old), default, gone, again=True)
    except (InvalidInputError, PolicyError) as error:
        raise PreconditionError(f"version {old.version} is not valid now: {error}") from error


def _bundle_again(old: PolicyState) -> Bundle:
    """The old bundle, or what its documents are now, when bundles have another format by now."""
    try:
        return Bundle(old.bundle, CompiledPolicy.from_bundle(old.bundle, old.digest).digest)
    except PolicyError:
        if not old.documents:
            raise
    return compile_documents(documents_of(old)).bundle
