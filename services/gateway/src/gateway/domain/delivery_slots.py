"""Who may be called now: so many at a time, and never all of them endpoints that fail."""

from collections import Counter

LONGEST_PUT_OFF_SECONDS = 120.0


class DeliverySlots:
    """Counts deliveries in hand. Endpoints that failed last share half, one for each at a time.

    Args:
        overall: deliveries at a time.
        each: deliveries at a time to one endpoint that works.
    """

    def __init__(self, overall: int, each: int) -> None:
        self._overall = overall
        self._each = each
        self._in_hand: Counter[str] = Counter()
        self._failing: set[str] = set()
        """Endpoints in hand that had failed when they were taken."""
        self._next_look: dict[str, float] = {}

    def take(self, webhook_id: str, *, failing: bool) -> bool:
        """Whether a delivery may begin; it is counted until `free`."""
        taken = self._in_hand[webhook_id]
        if failing and (taken or len(self._failing) >= self._overall // 2):
            return False
        if taken >= self._each or self._in_hand.total() >= self._overall:
            return False
        self._in_hand[webhook_id] += 1
        if failing:
            self._failing.add(webhook_id)
        return True

    def free(self, webhook_id: str) -> None:
        """A delivery that was taken is over."""
        self._in_hand[webhook_id] -= 1
        if not self._in_hand[webhook_id]:
            del self._in_hand[webhook_id]
            self._failing.discard(webhook_id)

    def put_off(self, webhook_id: str, now: float, *, failing: bool) -> float:
        """Seconds after which a delivery that found no room looks again.

        Those of one endpoint come back one after the other, not all at once.
        """
        self._next_look = {each: at for each, at in self._next_look.items() if at > now}
        step = 2.0 if failing else 0.25
        at = min(
            max(self._next_look.get(webhook_id, 0.0), now) + step, now + LONGEST_PUT_OFF_SECONDS
        )
        self._next_look[webhook_id] = at
        return at - now
