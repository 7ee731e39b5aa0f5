"""End what an API key has in hand once the key counts no more."""

import asyncio
from typing import Protocol

from modelmill_gateway.domain.requests_in_hand import RequestsInHand

LOOK_SECONDS = 0.25


class Keys(Protocol):
    """See `modelmill_gateway.adapters.key_book.KeyBook`."""

    def counts(self, key_id: str) -> bool: ...


class EndRequests:
    """Looks at the keys that have requests in hand, whatever may have ended them.

    A revocation, an end that came or was moved nearer, a key that made this one: one rule for all,
    a fraction of a second late.
    """

    def __init__(self, keys: Keys, in_hand: RequestsInHand) -> None:
        self._keys = keys
        self._in_hand = in_hand

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """End what has to end now."""
        for key_id in self._in_hand.keys:
            if not self._keys.counts(key_id):
                self._in_hand.end(key_id)
