"""Shapes of policies and of their changes, with an example of each."""

from typing import Any, Literal

from gateway.entrypoints.document.examples import AT, DIGEST
from gateway.entrypoints.document.shape import Answer


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
    """One YAML document, as it was written."""

    name: str
    text: str


class Policy(PolicyVersion):
    """A version with its documents. Its tenant is `shared` where the caller's has none."""

    documents: list[PolicyDocument]


class PolicyVersionList(Answer):
    """Versions of the tenant's own policy, newest first."""

    object: Literal["list"]
    data: list[PolicyVersion]
    has_more: Literal[False]


class PolicyChanges(Answer):
    """Compared with what judged before: ids of rules, and keys of the policy itself."""

    added_rules: list[str]
    removed_rules: list[str]
    changed_rules: list[str]
    changed_settings: list[str]


class PolicyChange(PolicyVersion):
    """The version that is in force, or would be. Not `written`: a dry run, or no change."""

    written: bool
    changes: PolicyChanges


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
POLICY = {**VERSION, "documents": BODY["documents"]}
CHANGE = {
    **VERSION,
    "written": True,
    "changes": {
        "added_rules": ["project-name"],
        "removed_rules": [],
        "changed_rules": [],
        "changed_settings": [],
    },
}
REVERTED = {**CHANGE, "restores_version": 1}
