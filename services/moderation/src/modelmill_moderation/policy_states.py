"""Stored policy versions: their history, written from compiled documents, and recompiled."""

from collections.abc import Collection, Mapping
from typing import Protocol

from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.moderation.v1.moderation_service_pb2 import PolicyDocument
from modelmill_bus.envelope import Stored
from modelmill_guard.bundle import Bundle, CompiledPolicy, as_yaml
from modelmill_guard.policy import PolicyError
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError

from modelmill_moderation.domain.policy_documents import Compiled, compile_documents, compile_on_top


class History(Protocol):
    """See `modelmill_moderation.adapters.policies_on_bus.PolicyHistory`."""

    async def newest(self, tenant: str) -> Stored[PolicyState] | None: ...
    async def versions(self, tenant: str) -> list[PolicyState]: ...
    async def add(self, state: PolicyState, *, after: int) -> None: ...


def unknown_version(version: int) -> NotFoundError:
    """Error for a version that does not exist."""
    return NotFoundError(
        f"the policy has no version {version}. GET /v1/moderation/policy/versions lists them"
    )


MAX_RECORD_BYTES = 900_000
"""NATS accepts messages up to 1 MB by default."""


def write_compiled(state: PolicyState, compiled: Compiled, documents: Mapping[str, str]) -> None:
    """Set bundle, documents and default rules of a version."""
    state.digest, state.bundle = compiled.bundle.digest, compiled.bundle.content
    state.documents.extend(PolicyDocument(name=n, text=text) for n, text in documents.items())
    state.default_digest = compiled.default_digest
    state.default_rules.extend(compiled.default_rules)
    state.removed_default_rules.extend(compiled.removed_default_rules)


def are_equivalent(one: PolicyState, other: PolicyState) -> bool:
    """Whether two versions have the same bundle, documents and default policy."""
    return (
        (one.digest, one.default_digest) == (other.digest, other.default_digest)
        and list(one.documents) == list(other.documents)
        and list(one.removed_default_rules) == list(other.removed_default_rules)
    )


def check_size(state: PolicyState) -> None:
    """Raise InvalidInputError for a version that does not fit into a message."""
    size = state.ByteSize()
    if size > MAX_RECORD_BYTES:
        raise InvalidInputError(
            f"the policy takes {size} bytes with its documents; the limit is {MAX_RECORD_BYTES}"
        )


def documents_of(state: PolicyState) -> dict[str, str]:
    """Documents of a version; without any, its bundle as YAML."""
    if state.documents:
        return {document.name: document.text for document in state.documents}
    return {"policy.yaml": as_yaml(state.bundle)}


def recompiled(old: PolicyState, default: Bundle | None, removing: Collection[str]) -> Compiled:
    """Compile a version again, on top of the current default policy, if given.

    Raises:
        PreconditionError: Its documents no longer compile.
    """
    try:
        if default is None:
            return Compiled(_current_bundle(old))
        gone = {*old.removed_default_rules, *removing}
        return compile_on_top(documents_of(old), default, gone, again=True)
    except (InvalidInputError, PolicyError) as error:
        raise PreconditionError(f"version {old.version} is not valid now: {error}") from error


def _current_bundle(old: PolicyState) -> Bundle:
    """The stored bundle; if its format is outdated, the documents compiled again."""
    try:
        return Bundle(old.bundle, CompiledPolicy.from_bundle(old.bundle, old.digest).digest)
    except PolicyError:
        if not old.documents:
            raise
    return compile_documents(documents_of(old)).bundle
