"""Which policy judges the texts of which tenant."""

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


@dataclass(frozen=True)
class JudgesHere:
    """Who can be asked from here."""

    classifiers: bool
    """Whether there is an inference service."""
    services: frozenset[str]
    """Names of content-safety services."""

    def check(self, bundle: Bundle) -> None:
        """Raise InvalidInputError for judges that would never give an opinion."""
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
    """Ids of rules and judges, and keys of the policy itself, each list in order."""

    added_rules: tuple[str, ...]
    removed_rules: tuple[str, ...]
    changed_rules: tuple[str, ...]
    changed_settings: tuple[str, ...]


def changes_between(before: bytes, after: bytes) -> PolicyChanges:
    """Compare two bundles; empty bytes are a policy without rules."""
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
    # A judge is to its readers one more rule: ids are of both.
    rules = {rule["id"]: rule for rules in _LISTS for rule in policy.get(rules, ())}
    return rules, {key: value for key, value in policy.items() if key not in _LISTS}


MOST_NAMED = 5


@dataclass(frozen=True)
class CostLimit:
    """Measured on this machine, as CPU time of the thread that asks."""

    microseconds: float
    """That all rules together may take for a character of the worst text that is tried."""
    clock: Callable[[], float] = time.thread_time

    def check(self, bundle: Bundle, default_rules: Collection[str]) -> None:
        """Raise InvalidInputError, which names rules and costs, for a policy that takes more.

        It takes seconds for policies that are hard to judge by.

        Args:
            default_rules: ids of rules that are not the tenant's to change, and do not count.
        """
        policy, limit = policy_of(bundle.content), self.microseconds * 1e-6
        own = tuple(rule for rule in policy.rules if rule.id not in default_rules)
        if not own:
            return
        policy = replace(policy, rules=own, judges=())
        # Again: something beside it may have slowed it.
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
