"""Policies of tenants: documents, versions and changes."""

from typing import Literal, Self

from modelmill_service_kit.errors import InvalidInputError
from pydantic import Field, model_validator

from modelmill_gateway.entrypoints.schemas.base import (
    Digest,
    OrNull,
    ResponseModel,
    Tenant,
    UnixSeconds,
    User,
)
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody

EXPECTED = "Expected digest of the policy in force; the request is refused if it differs."
REMOVED = "Ids of default rules that may be removed; a request that would remove others is refused."
TEXT = """rules:
- id: project-name
  category: confidential
  severity: high
  action: mask
  directions: output
  keywords: [blue heron]
"""


class PolicyDocumentBody(StrictBody):
    """One YAML document of a policy."""

    name: str = Field(
        min_length=1, max_length=128, description="Shown in errors.", examples=["ours.yaml"]
    )
    text: str = Field(description="YAML.", examples=[TEXT])


class PolicyBody(StrictBody):
    """Request body of PUT /v1/moderation/policy."""

    documents: list[PolicyDocumentBody] = Field(min_length=1, max_length=32)
    dry_run: bool = Field(
        False, description="Whether to only report what would change.", examples=[True]
    )
    expected_digest: str | None = Field(None, max_length=128, description=EXPECTED)
    remove_default_rules: list[str] = Field([], max_length=10_000, description=REMOVED)

    @property
    def by_name(self) -> dict[str, str]:
        """The documents' texts. Raises InvalidInputError: two have one name."""
        documents = {document.name: document.text for document in self.documents}
        if len(documents) < len(self.documents):
            raise InvalidInputError("documents: two have the same name")
        return documents


class RevertBody(StrictBody):
    """Request body of POST /v1/moderation/policy/revert."""

    version: int | None = Field(
        None, ge=1, lt=2**63, description="An earlier version.", examples=[1]
    )
    shared: bool = Field(False, description="Whether to return to the shared policy.")
    expected_digest: str | None = Field(None, max_length=128, description=EXPECTED)
    remove_default_rules: list[str] = Field([], max_length=10_000, description=REMOVED)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.version is None) != self.shared:
            raise ValueError("needs a version, or shared: true, and not both")
        return self


class PolicyVersion(ResponseModel):
    """One version. `digest` is null when from here on the shared policy judges."""

    object: Literal["moderation.policy"] = "moderation.policy"
    tenant: Tenant
    version: int = Field(examples=[3])
    digest: OrNull[Digest]
    follows_shared: bool
    restores_version: OrNull[int]
    changed_by: User
    changed_at: UnixSeconds


class PolicyDocument(ResponseModel):
    """YAML document of a policy, as it was written."""

    name: str = Field(examples=["ours.yaml"])
    text: str = Field(examples=[TEXT])


class Policy(PolicyVersion):
    """A version with its documents. Its tenant is `shared` where the caller's has none.

    `default_documents` are the default rules that judge beside them, `removed_default_rules` those
    of today that do not, or only weaker.
    """

    documents: list[PolicyDocument]
    default_documents: list[PolicyDocument]
    removed_default_rules: list[str] = Field(examples=[["iban"]])


class PolicyChanges(ResponseModel):
    """Changes against the policy before: rule ids, and keys of the policy itself."""

    added_rules: list[str] = Field(examples=[["project-name"]])
    removed_rules: list[str]
    changed_rules: list[str]
    changed_settings: list[str]


class PolicyReverted(PolicyVersion):
    """The version that is in force now, and the default rules that it does without."""

    written: bool = Field(examples=[True])
    changes: PolicyChanges
    removed_default_rules: list[str] = Field(examples=[["iban"]])


class PolicyChange(PolicyReverted):
    """The version that is in force, or would be. Not `written`: a dry run, or no change.

    A dry run says which default rules would judge beside the documents, and which would go that
    the request does not name: then it would be refused.
    """

    unconfirmed_default_rules: list[str]
    default_documents: list[PolicyDocument]
