"""E-processes: evidence against a null hypothesis that may be looked at at any time.

A gambler bets against the null with money of no value. While the null is true no strategy can be
expected to win, so the chance that the wealth ever reaches 1/alpha is at most alpha (Ville 1939).
That holds at every moment at once, which p-values do not.

Only sums, products and quotients: IEEE 754 fixes each of their bits, so that a decision is the same
on every machine.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

BETS = 17
LEAST, MOST = 0.004, 0.9
"""Parts of the largest bet that cannot ruin the gambler."""


def _fractions() -> tuple[float, ...]:
    # Each between two others: square roots have fixed bits, as sums do, and powers have not.
    found = [LEAST, MOST]
    while len(found) < BETS:
        between = [sqrt(low * high) for low, high in pairwise(found)]
        found = sorted([*found, *between])
    return tuple(found)


FRACTIONS = _fractions()


class MixtureBet:
    """Evidence against "each observation is expected to be at most 0, given those before".

    A mixture of fixed bets (Waudby-Smith & Ramdas 2024, section 5): the wealth of each is a
    product, that of the mixture their mean. No bet fits every effect, and the best one's share of
    the wealth is what is left.

    Args:
        lowest: The least that an observation can be, below 0.
    """

    def __init__(self, lowest: float) -> None:
        self._bets = tuple(fraction / -lowest for fraction in FRACTIONS)
        self._wealth: Sequence[float] = (1.0,) * len(FRACTIONS)
        self.largest = 1.0
        """Wealth at its largest: what is compared with 1/alpha."""

    @property
    def wealth(self) -> float:
        """The e-value now."""
        total = 0.0
        for each in self._wealth:
            total += each
        return total / len(self._wealth)

    def observe(self, value: float) -> None:
        """Bet on one more observation; 0 changes nothing."""
        if value == 0.0:
            return
        self._wealth = [
            wealth * (1.0 + bet * value) if wealth < ENOUGH else wealth
            for bet, wealth in zip(self._bets, self._wealth, strict=True)
        ]
        self.largest = max(self.largest, self.wealth)


ENOUGH = 1e200
"""Wealth that is not multiplied any more: it could overflow, and nobody asks for as much."""
