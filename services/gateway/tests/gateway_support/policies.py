"""The policy procedures of moderation, with their work faked: versions in a list."""

from typing import Any

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from service_kit.errors import ConflictError, InvalidInputError, NotFoundError

SHARED = "sha256:shared"


class FakePolicies:
    """Stores what it is told; a document that says "wrong" is refused with two errors."""

    def forget_policies(self) -> None:
        """Begin anew."""
        self.puts: list[pb.PutPolicyRequest] = []
        self.reverts: list[pb.RevertPolicyRequest] = []
        self.versions: list[pb.PolicyVersion] = []

    async def PutPolicy(self, request: pb.PutPolicyRequest, context: Any) -> pb.PutPolicyResponse:
        self.puts.append(request)
        if any("wrong" in document.text for document in request.documents):
            raise InvalidInputError(["a.yaml: rule x: bad", "a.yaml: rule y: bad"])
        self._expect(request)
        version = self._next(request, digest=f"sha256:{len(self.puts)}")
        if not request.dry_run:
            self.versions.append(version)
        changes = pb.PolicyChanges(added_rules=["x"], changed_settings=["max_check_characters"])
        return pb.PutPolicyResponse(policy=version, changes=changes, written=not request.dry_run)

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Any) -> pb.GetPolicyResponse:
        found = [each for each in self.versions if request.version in (0, each.version)]
        if not found and request.version:
            raise NotFoundError(f"the policy has no version {request.version}")
        version = found[-1] if found else pb.PolicyVersion(tenant="shared", digest=SHARED)
        document = pb.PolicyDocument(name="a.yaml", text="rules: []")
        return pb.GetPolicyResponse(policy=version, documents=[document])

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
        self.versions.append(version)
        return pb.RevertPolicyResponse(policy=version)

    def _next(self, request: Any, **fields: Any) -> pb.PolicyVersion:
        number = len(self.versions) + 1
        return pb.PolicyVersion(
            tenant=request.tenant, version=number, changed_by=request.changed_by, **fields
        )

    def _expect(self, request: Any) -> None:
        standing = self.versions[-1].digest if self.versions else SHARED
        if request.HasField("expected_digest") and request.expected_digest != standing:
            raise ConflictError(f"{standing} is in force; look at it again")
