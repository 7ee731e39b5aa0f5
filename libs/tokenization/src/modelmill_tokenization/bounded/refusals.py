"""Temporary blocks of versions that exceeded a limit, and of tenants that did so often.

A version is refused by itself and for the tenant that asked alone: a text that one tenant found
must not take a shared model away from the others.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from modelmill_service_kit.errors import OverloadedError

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
PROVEN_AFTER = 3
"""Requests in a row within the limits, after which a version is trusted for a tenant."""
FORGET_SECONDS = 600.0
"""After its last refusal, a version begins anew."""
FREE_SECONDS = 0.02
FREE_SECONDS_A_CHARACTER = 2e-6
"""What a request may take without being charged for: more than any sound tokenizer does."""
FREE_LOAD_SECONDS = 3.0
"""The same of loading."""
BUDGET_SECONDS = 10.0
"""CPU time beyond that which a tenant has at most."""
PROCESS_SECONDS = 2.0
"""What a tenant is charged for a process that a request costs: others waited for it as well."""
REFILL = 1 / 6
"""Of a second, what comes back in a second."""
MAX_RECORDS = 10_000


@dataclass(slots=True)
class _Record:
    """Of one version and one tenant."""

    strikes: int = 0
    good: int = 0
    """Requests since the last strike."""
    refused_until: float = 0.0


@dataclass(slots=True)
class _Budget:
    seconds: float
    at: float


def free_seconds(characters: int) -> float:
    """What a request of so many characters may take without being charged for."""
    return FREE_SECONDS + FREE_SECONDS_A_CHARACTER * characters


class Refusals:
    """Remembers what was passed, and answers who may run.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()

    def check(self, tenant: str, folder: str) -> None:
        """OverloadedError, with when to retry, while either is refused."""
        now = self._clock()
        record = self._records.get((tenant, folder))
        if record is not None and now < record.refused_until:
            left = record.refused_until - now
            raise OverloadedError(
                f"this model's chat template or tokenizer was stopped at its limit "
                f"{record.strikes} times and is not run for {left:.0f} s more. Import the model "
                "with a template and tokenizer that end",
                retry_after_seconds=left,
            )
        left = -self._level(tenant) / REFILL
        if left > 0:
            raise OverloadedError(
                "chat templates and tokenizers of this tenant's requests took "
                f"{BUDGET_SECONDS:g} s more than they should and are not run for {left:.0f} s. "
                "Remove the models whose templates or tokenizers do not end",
                retry_after_seconds=left,
            )

    def is_proven(self, tenant: str, folder: str) -> bool:
        """Whether it did well when it was asked before."""
        record = self._records.get((tenant, folder))
        return record is not None and record.good >= PROVEN_AFTER

    def spent(self, tenant: str) -> float:
        """Of its budget, in seconds."""
        return BUDGET_SECONDS - self._level(tenant)

    def charge(self, tenant: str, cpu_seconds: float, free_seconds: float) -> None:
        """Take what a request took beyond what any may from the tenant's budget."""
        excess = cpu_seconds - free_seconds
        if excess > 0:
            level = self._level(tenant) - excess
            self._budgets[tenant] = _Budget(level, self._clock())
            self._budgets.move_to_end(tenant)
            if len(self._budgets) > MAX_RECORDS:
                self._budgets.popitem(last=False)

    def passed(self, tenant: str, folder: str) -> None:
        """A request went past a limit: refuse the version for twice as long as last time."""
        record = self._record(tenant, folder)
        if self._clock() > record.refused_until + FORGET_SECONDS:
            record.strikes = 0
        record.strikes += 1
        record.good = 0
        seconds = min(FIRST_SECONDS * 2.0 ** min(record.strikes - 1, 60), LONGEST_SECONDS)
        record.refused_until = self._clock() + seconds

    def kept(self, tenant: str, folder: str) -> bool:
        """A request stayed within the limits; whether the version is proven by it."""
        record = self._record(tenant, folder)
        record.good += 1
        return record.good == PROVEN_AFTER

    def _record(self, tenant: str, folder: str) -> _Record:
        record = self._records.setdefault((tenant, folder), _Record())
        self._records.move_to_end((tenant, folder))
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)
        return record

    def _level(self, tenant: str) -> float:
        budget = self._budgets.get(tenant)
        if budget is None:
            return BUDGET_SECONDS
        return min(BUDGET_SECONDS, budget.seconds + (self._clock() - budget.at) * REFILL)
