"""The policy procedures of moderation, with their work faked: versions in a list."""

from collections.abc import Sequence
from typing import Any

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_service_kit.errors import ConflictError, InvalidInputError, NotFoundError

SHARED = "sha256:shared"
DEFAULT_RULES = ("email-address", "iban")
DEFAULT_DOCUMENT = pb.PolicyDocument(name="default.yaml", text="rules: []")
ALONE = 7
"""A version without default rules."""


def _unnamed(gone: Sequence[str], request: Any) -> list[str]:
    return [rule for rule in gone if rule not in request.remove_default_rules]


class FakePolicies:
    """Stores what it is told; a document that says "wrong" is refused with two errors.

    One that says "alone" has no default rules, nor has version 7; there are two.
    """

    def forget_policies(self) -> None:
        """Begin anew."""
        self.puts: list[pb.PutPolicyRequest] = []
        self.reverts: list[pb.RevertPolicyRequest] = []
        self.versions: list[pb.PolicyVersion] = []

    async def PutPolicy(self, request: pb.PutPolicyRequest, context: Any) -> pb.PutPolicyResponse:
        self.puts.append(request)
        if any("wrong" in document.text for document in request.documents):
            raise InvalidInputError(["a.yaml:2: rule x: bad", "a.yaml:3: rule y: bad"])
        self._expect(request)
        version = self._next(request, digest=f"sha256:{len(self.puts)}")
        alone = any("alone" in document.text for document in request.documents)
        gone = DEFAULT_RULES if alone else ()
        unconfirmed = _unnamed(gone, request)
        if not request.dry_run and not unconfirmed:
            self.versions.append(version)
        changes = pb.PolicyChanges(added_rules=["x"], changed_settings=["max_check_characters"])
        beside = [] if alone else [DEFAULT_DOCUMENT]
        return pb.PutPolicyResponse(
            policy=version,
            changes=changes,
            written=not request.dry_run and not unconfirmed,
            removed_default_rules=gone,
            unconfirmed_default_rules=unconfirmed,
            default_documents=beside if request.dry_run else [],
        )

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Any) -> pb.GetPolicyResponse:
        found = [each for each in self.versions if request.version in (0, each.version)]
        if not found and request.version:
            raise NotFoundError(f"the policy has no version {request.version}")
        version = found[-1] if found else pb.PolicyVersion(tenant="shared", digest=SHARED)
        document = pb.PolicyDocument(name="a.yaml", text="rules: []")
        return pb.GetPolicyResponse(
            policy=version,
            documents=[document],
            default_documents=[DEFAULT_DOCUMENT],
            removed_default_rules=DEFAULT_RULES[:1],
        )

    async def ListPolicyVersions(
        self, request: pb.ListPolicyVersionsRequest, context: Any
    ) -> pb.ListPolicyVersionsResponse:
        return pb.ListPolicyVersionsResponse(policies=self.versions[::-1])

    async def RevertPolicy(
        self, request: pb.RevertPolicyRequest, context: Any
    ) -> pb.RevertPolicyResponse:
        self.reverts.append(request)
        self._expect(request)
        version = self._next(request, follows_shared=request.shared)
        version.restores_version = request.version
        gone = DEFAULT_RULES if request.version == ALONE else ()
        unconfirmed = _unnamed(gone, request)
        if not unconfirmed:
            self.versions.append(version)
        return pb.RevertPolicyResponse(
            policy=version, removed_default_rules=gone, unconfirmed_default_rules=unconfirmed
        )

    def _next(self, request: Any, **fields: Any) -> pb.PolicyVersion:
        number = len(self.versions) + 1
        return pb.PolicyVersion(
            tenant=request.tenant, version=number, changed_by=request.changed_by, **fields
        )

    def _expect(self, request: Any) -> None:
        standing = self.versions[-1].digest if self.versions else SHARED
        if request.HasField("expected_digest") and request.expected_digest != standing:
            raise ConflictError(f"{standing} is in force. Look at it again")
