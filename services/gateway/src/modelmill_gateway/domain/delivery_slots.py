"""Who may be called now: so many at a time, and never only endpoints that do not answer."""

from collections import Counter

LONGEST_PUT_OFF_SECONDS = 120.0
PUT_OFF_SECONDS = {True: 0.1, False: 0.5}
"""Between two looks of one endpoint, by whether it works."""


class DeliverySlots:
    """Counts deliveries in hand.

    An endpoint works while its last delivery succeeded. Others, new ones among them, are called one
    at a time each, and share half of all: whatever hangs, what works is called at once.

    Args:
        overall: deliveries at a time.
        each_tenant: deliveries at a time to all endpoints of one tenant.
        each: deliveries at a time to one endpoint that works.
    """

    def __init__(self, *, overall: int, each_tenant: int, each: int) -> None:
        self._overall = overall
        self._each_tenant = each_tenant
        self._each = each
        self._endpoints: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        self._unproven: set[str] = set()
        """Endpoints in hand that did not work when they were taken."""
        self._next_look: dict[str, float] = {}

    def acquire(self, webhook_id: str, tenant: str, *, works: bool) -> bool:
        """Whether a delivery may begin; it is counted until `free`."""
        if not works and len(self._unproven) >= self._overall // 2:
            return False
        if self._endpoints[webhook_id] >= (self._each if works else 1):
            return False
        if self._tenants[tenant] >= self._each_tenant or self._tenants.total() >= self._overall:
            return False
        self._endpoints[webhook_id] += 1
        self._tenants[tenant] += 1
        if not works:
            self._unproven.add(webhook_id)
        return True

    def release(self, webhook_id: str, tenant: str) -> None:
        """A delivery that was taken is over."""
        self._endpoints -= Counter([webhook_id])
        self._tenants -= Counter([tenant])
        if webhook_id not in self._endpoints:
            self._unproven.discard(webhook_id)

    def put_off(self, webhook_id: str, now: float, *, works: bool) -> float:
        """Seconds after which a delivery that found no room looks again.

        Those of one endpoint come back one after the other, not all at once.
        """
        self._next_look = {each: at for each, at in self._next_look.items() if at > now}
        at = max(self._next_look.get(webhook_id, 0.0), now) + PUT_OFF_SECONDS[works]
        at = min(at, now + LONGEST_PUT_OFF_SECONDS)
        self._next_look[webhook_id] = at
        return at - now
