"""Who may do what to which API key: one rule for making, changing, rotating and revoking."""

from typing import Protocol

from modelmill.gateway.v1.gateway_events_pb2 import KeyState, Limits
from modelmill_service_kit.errors import PermissionDeniedError, PreconditionError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.api_keys import MOST_IN_LINE, Authority
from modelmill_gateway.identity.key_book import KeyBook

AMOUNTS = (
    *("requests_per_minute", "tokens_per_minute", "parallel_requests"),
    *("tokens", "micros"),
)


class KnownLimits(Protocol):
    """What may be used at most, by the id of a key."""

    def get(self, budget_id: str) -> Limits: ...


class KeyAuthority:
    """To a key one may do what one could have made it, whoever did.

    What a key can make has its scopes, models and end at most, and draws on its limits and on those
    of the keys that made it. A token has scopes alone: its end is its issuer's, and no limits are
    a token's.
    """

    def __init__(self, keys: KeyBook, budgets: KnownLimits) -> None:
        self._keys = keys
        self._budgets = budgets

    def of(self, caller: Caller) -> Authority:
        """What the caller has to give."""
        if not caller.key_id:
            return Authority(caller.scopes)
        return self._of_key(self._keys.get(caller.tenant, caller.key_id))

    def require_grant(self, wanted: Authority, limits: Limits | None, caller: Caller) -> None:
        """Raise PermissionDeniedError unless the caller can make a key such as this.

        Args:
            limits: of the key alone; None where they stay as they are.
        """
        own = self.of(caller)
        # Whoever grants it, it draws on the granter's limits, too.
        wanted.drawing_on(own.draws_on).require_within(own)
        if limits is None or not caller.key_id:
            return
        most = self._budgets.get(caller.key_id)
        for name in AMOUNTS:
            bound, asked = getattr(most, name), getattr(limits, name)
            if bound and not 0 < asked <= bound:
                raise PermissionDeniedError(f"limits: {name} may be at most that of your own key")
        if (most.tokens or most.micros) and most.period != limits.period:
            raise PermissionDeniedError("limits: period must be that of your own key")

    def require_over(self, state: KeyState, caller: Caller) -> None:
        """Raise PermissionDeniedError unless the caller could have made the key as it is."""
        self._of_key(state).require_within(self.of(caller))

    def require_room_below(self, caller: Caller) -> None:
        """Raise PreconditionError if no key may be made by the caller's, so far down its line."""
        if not caller.key_id:
            return
        line = self._keys.line(self._keys.get(caller.tenant, caller.key_id))
        if len(line) >= MOST_IN_LINE:
            raise PreconditionError(
                f"keys make keys at most {MOST_IN_LINE} deep. Let a key above yours make it"
            )

    def _of_key(self, state: KeyState) -> Authority:
        line = self._keys.line(state)
        limited = frozenset(
            each.key_id for each in line if self._budgets.get(each.key_id) != Limits()
        )
        return self._keys.authority(state).drawing_on(limited)
