"""Policies in force, by tenant."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelmill_guard.bundle import Bundle, CompiledPolicy, policy_of
from modelmill_guard.cost import cost_of, costliest
from modelmill_guard.judge import Judge
from modelmill_guard.verdict import Direction
from modelmill_service_kit.errors import InvalidInputError, PreconditionError


@dataclass(frozen=True)
class ConfiguredJudges:
    """Configured classifiers and services."""

    classifiers: bool
    """Whether an inference service is configured."""
    services: frozenset[str]
    """Names of configured content-safety services."""

    def check(self, bundle: Bundle) -> None:
        """Raise InvalidInputError for judges that are not configured here."""
        errors = []
        for judge in json.loads(bundle.content)["policy"].get("judges", ()):
            service = judge.get("service")
            if service is None and not self.classifiers:
                errors.append(f"judge {judge['id']}: no inference service is set up to ask models")
            elif service is not None and service not in self.services:
                errors.append(f"judge {judge['id']}: no service {service!r} is set up")
        if errors:
            raise InvalidInputError(errors)


_LISTS = ("rules", "judges")


@dataclass(frozen=True)
class PolicyChanges:
    """Sorted ids of rules and judges, and keys of settings."""

    added_rules: tuple[str, ...]
    removed_rules: tuple[str, ...]
    changed_rules: tuple[str, ...]
    changed_settings: tuple[str, ...]


def changes_between(before: bytes, after: bytes) -> PolicyChanges:
    """Compare two bundles; empty bytes stand for a policy without rules."""
    old_rules, old_settings = _parts(before)
    new_rules, new_settings = _parts(after)
    both = old_rules.keys() & new_rules.keys()
    settings = old_settings.keys() | new_settings.keys()
    return PolicyChanges(
        added_rules=tuple(sorted(new_rules.keys() - old_rules.keys())),
        removed_rules=tuple(sorted(old_rules.keys() - new_rules.keys())),
        changed_rules=tuple(sorted(id for id in both if old_rules[id] != new_rules[id])),
        changed_settings=tuple(
            sorted(key for key in settings if old_settings.get(key) != new_settings.get(key))
        ),
    )


def _parts(bundle: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    policy = json.loads(bundle)["policy"] if bundle else {}
    # Rules and judges share one namespace of ids.
    rules = {rule["id"]: rule for rules in _LISTS for rule in policy.get(rules, ())}
    return rules, {key: value for key, value in policy.items() if key not in _LISTS}


MOST_NAMED = 5


@dataclass(frozen=True)
class CostLimit:
    """Cost limit, measured on this machine as CPU time of the calling thread."""

    microseconds: float
    """Limit per character for all rules together, on the worst text tried."""
    clock: Callable[[], float] = time.thread_time

    def check(self, bundle: Bundle, default_rules: Collection[str]) -> None:
        """Raise InvalidInputError, naming rules and costs, for a policy that exceeds the limit.

        It takes seconds for expensive policies.

        Args:
            default_rules: Ids of inherited rules, which do not count.
        """
        policy, limit = policy_of(bundle.content), self.microseconds * 1e-6
        own = tuple(rule for rule in policy.rules if rule.id not in default_rules)
        if not own:
            return
        policy = replace(policy, rules=own, judges=())
        # Measure again: other load may have slowed the first run.
        measured = cost_of(policy, self.clock, limit)
        if measured > limit:
            measured = min(measured, cost_of(policy, self.clock, limit, seed=1))
        if measured <= limit:
            return
        named = costliest(policy, self.clock, limit, most=MOST_NAMED, seed=2)
        raise InvalidInputError(
            [
                f"the rules take {measured * 1e6:.0f} microseconds for a character of a text; the"
                f" limit is {self.microseconds:g}. Make the rules that cost most narrower:",
                *(
                    f"rule {cost.rule_id}: {cost.seconds * 1e6:.1f} microseconds a character"
                    for cost in named
                ),
            ]
        )


SHARED_TENANT = "shared"
"""Owner of the shared policy, which applies to tenants without their own."""
JUDGES_KEPT = 8
"""Policies per owner whose judges are kept, for texts that began before a change."""


@dataclass(frozen=True)
class Ownership:
    """Owner of a policy, and the part inherited from the default policy."""

    tenant: str
    default_digest: str = ""
    """Digest of the default policy below it; empty if there is none."""
    default_rules: frozenset[str] = frozenset()
    """Ids of inherited rules and judges."""

    def of_judge(self, judge_id: str) -> str:
        """Tenant whose models a judge uses."""
        return SHARED_TENANT if judge_id in self.default_rules else self.tenant


@dataclass(frozen=True)
class PolicyInForce:
    """A compiled policy and its owner."""

    owner: Ownership
    compiled: CompiledPolicy


@dataclass(frozen=True)
class PolicyJudges:
    """Judges of a policy without its rules: small, so that old ones can be kept."""

    owner: Ownership
    _by_direction: Mapping[Direction, Mapping[str, Judge]]

    @classmethod
    def in_policy(cls, owner: Ownership, policy: CompiledPolicy) -> "PolicyJudges":
        """Judges of a compiled policy."""
        return cls(
            owner,
            {each: {judge.id: judge for judge in policy.judges(each)} for each in Direction},
        )

    def of(self, direction: Direction) -> Mapping[str, Judge]:
        """Judges of texts in this direction, by id."""
        return self._by_direction[direction]


class PoliciesInForce:
    """Compiled policy of each tenant; replaced as a whole, so a verdict uses one bundle."""

    def __init__(self) -> None:
        self._policies: dict[str, CompiledPolicy | None] = {}
        self._owners: dict[str, Ownership] = {}
        self._judges: dict[str, OrderedDict[str, PolicyJudges]] = {}
        """Judges by owner and policy digest."""
        self._changed = asyncio.Event()

    def put(self, owner: Ownership, policy: CompiledPolicy | None) -> None:
        """Put `policy` in force for its owner; None rejects all texts of the tenant.

        A tenant whose newest bundle is invalid does not fall back to an older policy or the shared
        one, because those may be laxer.
        """
        self._policies[owner.tenant] = policy
        self._owners[owner.tenant] = owner
        if policy is not None:
            self._keep_judges(owner, policy)
        self._changed.set()
        self._changed = asyncio.Event()

    def follow_shared(self, tenant: str) -> None:
        """Remove the tenant's own policy, so that the shared one applies."""
        self._policies.pop(tenant, None)
        self._owners.pop(tenant, None)

    def of(self, tenant: str) -> PolicyInForce:
        """The tenant's own policy, or the shared one.

        Raises:
            PreconditionError: There is none, or its bundle is invalid; nothing may pass.
        """
        owner = tenant if tenant in self._policies else SHARED_TENANT
        policy = self._policies.get(owner)
        if policy is None:
            raise PreconditionError("no valid policy bundle is in force, so nothing may pass")
        return PolicyInForce(self._owners[owner], policy)

    def with_outdated_defaults(self) -> list[str]:
        """Tenants whose policies inherit from an outdated default policy."""
        shared = self._policies.get(SHARED_TENANT)
        if shared is None:
            return []
        digests = {tenant: owner.default_digest for tenant, owner in self._owners.items()}
        return [tenant for tenant, digest in digests.items() if digest not in ("", shared.digest)]

    def judges_of(self, tenant: str, digest: str) -> PolicyJudges | None:
        """Judges of a policy that is or was in force for the tenant.

        None if it never was, has no judges, or was replaced more than `JUDGES_KEPT` times.
        """
        for owner in (tenant, SHARED_TENANT):
            if (kept := self._judges.get(owner)) and digest in kept:
                return kept[digest]
        return None

    def until_changed(self) -> asyncio.Event:
        """Event that is set when the next policy is put in force."""
        return self._changed

    def _keep_judges(self, owner: Ownership, policy: CompiledPolicy) -> None:
        if not any(policy.judges(direction) for direction in Direction):
            return
        kept = self._judges.setdefault(owner.tenant, OrderedDict())
        kept[policy.digest] = PolicyJudges.in_policy(owner, policy)
        kept.move_to_end(policy.digest)
        while len(kept) > JUDGES_KEPT:
            kept.popitem(last=False)
