"""Sample-ratio check: whether keys fall to the arms as the shares say.

A wrong ratio means that something before or behind the draw loses keys of one arm, which no test of
a metric can repair: the experiment says nothing.
"""

from collections.abc import Sequence


class SampleRatio:
    """Evidence against "each key falls to an arm by its share", for any time.

    The e-value of the Dirichlet-multinomial mixture (Lindon & Malek 2022), as a product of how
    likely the mixture found each arm, over its share. The prior is worth `weight` keys that fell as
    they should.
    """

    def __init__(self, shares: Sequence[float], weight: float = 100.0) -> None:
        self._shares = tuple(shares)
        self._seen = [weight * share for share in shares]
        self._total = weight
        self.counts = [0] * len(self._shares)
        """Keys by arm."""
        self._wealth = self.largest = 1.0

    def observe(self, arm: int) -> None:
        """Count a key of that arm."""
        self._wealth *= self._seen[arm] / self._total / self._shares[arm]
        self.largest = max(self.largest, self._wealth)
        self._seen[arm] += 1.0
        self._total += 1.0
        self.counts[arm] += 1
