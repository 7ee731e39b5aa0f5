"""What a tenant's own policy is asked to be."""

from typing import Self

from modelmill_service_kit.errors import InvalidInputError
from pydantic import Field, model_validator

from modelmill_gateway.entrypoints.bodies.parsing import StrictBody

EXPECTED = "Expected digest of the policy in force; the request is refused if it differs."
REMOVED = "Ids of default rules that may be removed; a request that would remove others is refused."


class PolicyDocumentBody(StrictBody):
    """One YAML document of a policy."""

    name: str = Field(min_length=1, max_length=128, description="Shown in errors.")
    text: str = Field(description="YAML.")


class PolicyBody(StrictBody):
    """Request body of PUT /v1/moderation/policy."""

    documents: list[PolicyDocumentBody] = Field(min_length=1, max_length=32)
    dry_run: bool = Field(False, description="Whether to only report what would change.")
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

    version: int | None = Field(None, ge=1, lt=2**63, description="An earlier version.")
    shared: bool = Field(False, description="Whether to return to the shared policy.")
    expected_digest: str | None = Field(None, max_length=128, description=EXPECTED)
    remove_default_rules: list[str] = Field([], max_length=10_000, description=REMOVED)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.version is None) != self.shared:
            raise ValueError("needs a version, or shared: true, and not both")
        return self
