"""The tenant's own policy: shown, put in force, listed and brought back."""

from starlette.requests import Request

from modelmill_gateway.entrypoints.http.requests import caller_of
from modelmill_gateway.entrypoints.schemas.base import WholeList
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.entrypoints.schemas.policies import (
    Policy,
    PolicyBody,
    PolicyChange,
    PolicyReverted,
    PolicyVersion,
    RevertBody,
)
from modelmill_gateway.entrypoints.schemas.queries import PolicyQuery
from modelmill_gateway.guarding.policy_book import ManagePolicy


class PolicyRoutes:
    """/v1/moderation/policy."""

    def __init__(self, manage_policy: ManagePolicy) -> None:
        self._manage_policy = manage_policy

    async def get_policy(self, request: Request) -> Policy:
        version = PolicyQuery.of(request.query_params).version
        found = await self._manage_policy.get(version, caller_of(request))
        return Policy.of(found.policy, found)

    async def put_policy(self, request: Request) -> PolicyChange:
        body = await read_body(request, PolicyBody)
        answer = await self._manage_policy.put(
            body.by_name,
            caller_of(request),
            removing=body.remove_default_rules,
            dry_run=body.dry_run,
            expected_digest=body.expected_digest,
        )
        return PolicyChange.of(answer.policy, answer)

    async def list_policies(self, request: Request) -> WholeList[PolicyVersion]:
        versions = await self._manage_policy.versions(caller_of(request))
        return WholeList(data=[PolicyVersion.of(each) for each in versions])

    async def revert_policy(self, request: Request) -> PolicyReverted:
        body = await read_body(request, RevertBody)
        answer = await self._manage_policy.revert(
            body.version,
            caller_of(request),
            removing=body.remove_default_rules,
            expected_digest=body.expected_digest,
        )
        return PolicyReverted.of(answer.policy, answer, written=True)
