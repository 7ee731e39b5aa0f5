"""Shapes of policies and of their changes, with an example of each."""

from typing import Any, Literal

from modelmill_gateway.entrypoints.document.examples import AT, DIGEST
from modelmill_gateway.entrypoints.document.shape import Answer


class PolicyVersion(Answer):
    """One version. `digest` is null when from here on the shared policy judges."""

    object: Literal["moderation.policy"]
    tenant: str
    version: int
    digest: str | None
    follows_shared: bool
    restores_version: int | None
    changed_by: str
    changed_at: int


class PolicyDocument(Answer):
    """YAML document of a policy, as it was written."""

    name: str
    text: str


class Policy(PolicyVersion):
    """A version with its documents. Its tenant is `shared` where the caller's has none.

    `default_documents` are the default rules that judge beside them, `removed_default_rules` those
    of today that do not, or only weaker.
    """

    documents: list[PolicyDocument]
    default_documents: list[PolicyDocument]
    removed_default_rules: list[str]


class PolicyVersionList(Answer):
    """Versions of the tenant's own policy, newest first."""

    object: Literal["list"]
    data: list[PolicyVersion]
    has_more: Literal[False]


class PolicyChanges(Answer):
    """Changes against the policy before: rule ids, and keys of the policy itself."""

    added_rules: list[str]
    removed_rules: list[str]
    changed_rules: list[str]
    changed_settings: list[str]


class PolicyReverted(PolicyVersion):
    """The version that is in force now, and the default rules that it does without."""

    written: bool
    changes: PolicyChanges
    removed_default_rules: list[str]


class PolicyChange(PolicyReverted):
    """The version that is in force, or would be. Not `written`: a dry run, or no change.

    A dry run says which default rules would judge beside the documents, and which would go that
    the request does not name: then it would be refused.
    """

    unconfirmed_default_rules: list[str]
    default_documents: list[PolicyDocument]


TEXT = """rules:
- id: project-name
  category: confidential
  severity: high
  action: mask
  directions: output
  keywords: [blue heron]
"""
BODY = {"documents": [{"name": "ours.yaml", "text": TEXT}], "dry_run": True}
VERSION: dict[str, Any] = {
    "object": "moderation.policy",
    "tenant": "demo",
    "version": 3,
    "digest": DIGEST,
    "follows_shared": False,
    "restores_version": None,
    "changed_by": "ann",
    "changed_at": AT,
}
POLICY = {
    **VERSION,
    "documents": BODY["documents"],
    "default_documents": [],
    "removed_default_rules": ["iban"],
}
REVERTED: dict[str, Any] = {
    **VERSION,
    "written": True,
    "changes": {
        "added_rules": ["project-name"],
        "removed_rules": [],
        "changed_rules": [],
        "changed_settings": [],
    },
    "removed_default_rules": ["iban"],
    "restores_version": 1,
}
CHANGE = {
    **REVERTED,
    "restores_version": None,
    "unconfirmed_default_rules": [],
    "default_documents": [],
}
