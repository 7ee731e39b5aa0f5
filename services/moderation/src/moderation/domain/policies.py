"""Which policy judges the texts of which tenant."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from guard.bundle import CompiledPolicy
from guard.judge import Judge
from guard.verdict import Direction
from service_kit.errors import PreconditionError

SHARED_TENANT = "shared"
"""Owner of the policy that binds every tenant without one of its own."""
JUDGES_KEPT = 8
"""Policies of one owner whose judges are known, for texts that began before a change."""


@dataclass(frozen=True)
class PolicyInForce:
    """A policy, and whose it is: the models that it names are its owner's."""

    owner: str
    compiled: CompiledPolicy


@dataclass(frozen=True)
class PolicyJudges:
    """The judges of a policy, without the rules: few bytes, so that they can be kept."""

    owner: str
    _by_direction: Mapping[Direction, Mapping[str, Judge]]

    @classmethod
    def in_policy(cls, owner: str, policy: CompiledPolicy) -> "PolicyJudges":
        """Those of a compiled policy."""
        return cls(
            owner,
            {each: {judge.id: judge for judge in policy.judges(each)} for each in Direction},
        )

    def of(self, direction: Direction) -> Mapping[str, Judge]:
        """Those that look at texts which go this way, by their ids."""
        return self._by_direction[direction]


class PoliciesInForce:
    """The compiled policy of each tenant; replaced whole, so each verdict is one bundle's."""

    def __init__(self) -> None:
        self._policies: dict[str, CompiledPolicy | None] = {}
        self._judges: dict[str, OrderedDict[str, PolicyJudges]] = {}
        """By owner and digest."""
        self._changed = asyncio.Event()

    def put(self, tenant: str, policy: CompiledPolicy | None) -> None:
        """Let `policy` judge from now on; None closes the tenant.

        A tenant whose newest bundle is not valid is closed and does not fall back: an older policy,
        or the shared one, may be laxer than what was meant.
        """
        self._policies[tenant] = policy
        if policy is not None:
            self._keep_judges(tenant, policy)
        self._changed.set()
        self._changed = asyncio.Event()

    def follow_shared(self, tenant: str) -> None:
        """Let the shared policy judge the tenant's texts from now on."""
        self._policies.pop(tenant, None)

    def of(self, tenant: str) -> PolicyInForce:
        """The tenant's own policy, or the shared one.

        Raises:
            PreconditionError: there is none, or its bundle is not valid; nothing may pass.
        """
        owner = tenant if tenant in self._policies else SHARED_TENANT
        policy = self._policies.get(owner)
        if policy is None:
            raise PreconditionError("no valid policy bundle is in force, so nothing may pass")
        return PolicyInForce(owner, policy)

    def judges_of(self, tenant: str, digest: str) -> PolicyJudges | None:
        """Judges of a policy that judged the tenant's texts when it was in force here.

        None when it never was, has none, or was replaced more than `JUDGES_KEPT` times.
        """
        for owner in (tenant, SHARED_TENANT):
            if (kept := self._judges.get(owner)) and digest in kept:
                return kept[digest]
        return None

    def until_changed(self) -> asyncio.Event:
        """Set when the next policy is put in force."""
        return self._changed

    def _keep_judges(self, owner: str, policy: CompiledPolicy) -> None:
        if not any(policy.judges(direction) for direction in Direction):
            return
        kept = self._judges.setdefault(owner, OrderedDict())
        kept[policy.digest] = PolicyJudges.in_policy(owner, policy)
        kept.move_to_end(policy.digest)
        while len(kept) > JUDGES_KEPT:
            kept.popitem(last=False)
