"""Callers' own policies: always the caller's tenant, and always under the caller's name."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from modelmill.moderation.v1 import moderation_service_pb2 as pb

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import DefaultRulesError


class Policies(Protocol):
    """Where policies are kept; refusals are domain errors."""

    async def put(self, request: pb.PutPolicyRequest) -> pb.PutPolicyResponse: ...
    async def get(self, tenant: str, version: int) -> pb.GetPolicyResponse: ...
    async def versions(self, tenant: str) -> Sequence[pb.PolicyVersion]: ...
    async def revert(self, request: pb.RevertPolicyRequest) -> pb.RevertPolicyResponse: ...


class ManagePolicy:
    """Shows and changes the policy that judges the caller's texts.

    Every method raises UnavailableError when moderation, or the bus behind it, does not answer.
    """

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def put(
        self,
        documents: Mapping[str, str],
        caller: Caller,
        *,
        removing: Sequence[str],
        dry_run: bool,
        expected_digest: str | None,
    ) -> pb.PutPolicyResponse:
        """Put the documents in force on top of the default rules, or say what that would change.

        Args:
            removing: default rules that may go.

        Raises:
            DefaultRulesError: others would go; the policy in force stays.
            InvalidInputError: all that is wrong with them; the policy in force stays.
            ConflictError: the policy in force is not the expected one.
        """
        request = pb.PutPolicyRequest(
            tenant=caller.tenant,
            documents=[pb.PolicyDocument(name=n, text=text) for n, text in documents.items()],
            dry_run=dry_run,
            expected_digest=expected_digest,
            changed_by=caller.subject,
            remove_default_rules=removing,
        )
        answer = await self._policies.put(request)
        if answer.unconfirmed_default_rules and not dry_run:
            raise DefaultRulesError(answer.unconfirmed_default_rules)
        return answer

    async def get(self, version: int, caller: Caller) -> pb.GetPolicyResponse:
        """What judges the caller's texts now, or an earlier version; NotFoundError without any."""
        return await self._policies.get(caller.tenant, version)

    async def versions(self, caller: Caller) -> Sequence[pb.PolicyVersion]:
        """The last hundred versions of the tenant's own policy, newest first."""
        return await self._policies.versions(caller.tenant)

    async def revert(
        self,
        version: int | None,
        caller: Caller,
        *,
        removing: Sequence[str],
        expected_digest: str | None,
    ) -> pb.RevertPolicyResponse:
        """Bring a version back, or with None let the shared policy judge.

        Raises:
            DefaultRulesError: as of `put`.
            NotFoundError: no such version.
            ConflictError: the policy in force is not the expected one.
            PreconditionError: the version is not valid any more.
        """
        request = pb.RevertPolicyRequest(
            tenant=caller.tenant,
            expected_digest=expected_digest,
            changed_by=caller.subject,
            remove_default_rules=removing,
        )
        if version is None:
            request.shared = True
        else:
            request.version = version
        answer = await self._policies.revert(request)
        if answer.unconfirmed_default_rules:
            raise DefaultRulesError(answer.unconfirmed_default_rules)
        return answer
