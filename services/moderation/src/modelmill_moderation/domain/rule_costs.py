"""How much the rules of a policy may cost, and which of them cost most where it is more."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from modelmill_guard.bundle import Bundle, policy_of
from modelmill_guard.cost import cost_of, costliest
from modelmill_service_kit.errors import InvalidInputError

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
