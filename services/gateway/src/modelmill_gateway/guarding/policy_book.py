"""Policies of tenants: the one in force, and how callers show and change their own."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import LOOK_SECONDS, SHARED_TENANT, ReadModel
from modelmill_bus.subjects import policy_state
from modelmill_guard.bundle import CompiledPolicy
from modelmill_service_kit.errors import UnavailableError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import DefaultRulesError

log = logging.getLogger(__name__)


class PolicyBook(ReadModel):
    """Read model of `policy.state.*`.

    A tenant without a policy of its own has the shared one. A tenant whose newest bundle is not
    valid has none, and nothing of it passes: the shared policy may be laxer than what was meant.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("policy.state.*",))
        self._policies: dict[str, CompiledPolicy | None] = {}

    def of(self, tenant: str) -> CompiledPolicy:
        """The policy that binds `tenant`.

        Raises:
            UnavailableError: there is none, or its bundle is not valid.
        """
        policy = self._policies.get(tenant, self._policies.get(SHARED_TENANT))
        if policy is None:
            raise UnavailableError("no valid policy bundle, so nothing passes")
        return policy

    async def _apply(self, stored: Stored[Any]) -> None:
        state: PolicyState = stored.body
        if state.follows_shared:
            self._policies.pop(state.tenant, None)
        else:
            # Building the automata of a large policy takes a while; answers go on meanwhile.
            self._policies[state.tenant] = await asyncio.to_thread(_compiled, state)


def _compiled(state: PolicyState) -> CompiledPolicy | None:
    try:
        return CompiledPolicy.from_bundle(state.bundle, state.digest)
    except ValueError as error:
        log.error("policy %d of %s is not valid: %s", state.version, state.tenant, error)
        return None


class Policies(Protocol):
    """Where policies are kept; refusals are domain errors."""

    async def put(self, request: pb.PutPolicyRequest) -> pb.PutPolicyResponse: ...
    async def get(self, tenant: str, version: int) -> pb.GetPolicyResponse: ...
    async def versions(self, tenant: str) -> Sequence[pb.PolicyVersion]: ...
    async def revert(self, request: pb.RevertPolicyRequest) -> pb.RevertPolicyResponse: ...


class ManagePolicy:
    """Shows and changes the policy that judges the caller's texts.

    Once a change is answered, this process judges by it; others follow in their own time. Every
    method raises UnavailableError when moderation, or the bus behind it, does not answer.
    """

    def __init__(self, policies: Policies, book: PolicyBook) -> None:
        self._policies = policies
        self._book = book

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
        if not dry_run:
            await self._until_judged_by(caller.tenant)
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
        await self._until_judged_by(caller.tenant)
        return answer

    async def _until_judged_by(self, tenant: str) -> None:
        """Wait until the newest policy judges here; that it is in force is true either way."""
        try:
            await self._book.catch_up(policy_state(tenant), within=LOOK_SECONDS)
        except UnavailableError as error:
            log.warning("a policy that was put may not judge here yet: %s", error)
