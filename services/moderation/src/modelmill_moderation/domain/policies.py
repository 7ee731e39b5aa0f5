"""Which policy judges the texts of which tenant."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judge import Judge
from modelmill_guard.verdict import Direction
from modelmill_service_kit.errors import PreconditionError

SHARED_TENANT = "shared"
"""Owner of the policy that binds every tenant without one of its own."""
JUDGES_KEPT = 8
"""Policies of one owner whose judges are known, for texts that began before a change."""


@dataclass(frozen=True)
class Ownership:
    """Whose policy it is, and what of it is the default policy's."""

    tenant: str
    default_digest: str = ""
    """Of the policy that it was put on top of; empty where it stands alone."""
    default_rules: frozenset[str] = frozenset()
    """Rules and judges of the default policy that it has."""

    def of_judge(self, judge_id: str) -> str:
        """Whose judge it is: the models that a judge names are its owner's."""
        return SHARED_TENANT if judge_id in self.default_rules else self.tenant


@dataclass(frozen=True)
class PolicyInForce:
    """A policy, and whose it is."""

    owner: Ownership
    compiled: CompiledPolicy


@dataclass(frozen=True)
class PolicyJudges:
    """The judges of a policy, without the rules: few bytes, so that they can be kept."""

    owner: Ownership
    _by_direction: Mapping[Direction, Mapping[str, Judge]]

    @classmethod
    def in_policy(cls, owner: Ownership, policy: CompiledPolicy) -> "PolicyJudges":
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
        self._owners: dict[str, Ownership] = {}
        self._judges: dict[str, OrderedDict[str, PolicyJudges]] = {}
        """By owner and digest."""
        self._changed = asyncio.Event()

    def put(self, owner: Ownership, policy: CompiledPolicy | None) -> None:
        """Let `policy` judge the owner's texts from now on; None closes the tenant.

        A tenant whose newest bundle is not valid is closed and does not fall back: an older policy,
        or the shared one, may be laxer than what was meant.
        """
        self._policies[owner.tenant] = policy
        self._owners[owner.tenant] = owner
        if policy is not None:
            self._keep_judges(owner, policy)
        self._changed.set()
        self._changed = asyncio.Event()

    def follow_shared(self, tenant: str) -> None:
        """Let the shared policy judge the tenant's texts from now on."""
        self._policies.pop(tenant, None)
        self._owners.pop(tenant, None)

    def of(self, tenant: str) -> PolicyInForce:
        """The tenant's own policy, or the shared one.

        Raises:
            PreconditionError: there is none, or its bundle is not valid; nothing may pass.
        """
        owner = tenant if tenant in self._policies else SHARED_TENANT
        policy = self._policies.get(owner)
        if policy is None:
            raise PreconditionError("no valid policy bundle is in force, so nothing may pass")
        return PolicyInForce(self._owners[owner], policy)

    def on_top_of_another(self) -> list[str]:
        """Tenants whose policies were put on top of a default policy that is no longer in force."""
        shared = self._policies.get(SHARED_TENANT)
        if shared is None:
            return []
        digests = {tenant: owner.default_digest for tenant, owner in self._owners.items()}
        return [tenant for tenant, digest in digests.items() if digest not in ("", shared.digest)]

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

    def _keep_judges(self, owner: Ownership, policy: CompiledPolicy) -> None:
        if not any(policy.judges(direction) for direction in Direction):
            return
        kept = self._judges.setdefault(owner.tenant, OrderedDict())
        kept[policy.digest] = PolicyJudges.in_policy(owner, policy)
        kept.move_to_end(policy.digest)
        while len(kept) > JUDGES_KEPT:
            kept.popitem(last=False)
