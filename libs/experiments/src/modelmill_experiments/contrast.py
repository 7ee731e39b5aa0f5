"""The difference that a candidate makes, observed key by key."""


class Contrast:
    """Observations whose expectation is the mean of the candidate minus that of the base.

    A key fell to the candidate with a chance that is known, so its value over that chance, with
    the other sign for the base, is unbiased (Horvitz & Thompson 1952), whatever else drifts or
    differs between keys. Values count from a centre, the mean of all earlier ones, which takes most
    of the spread away; it may depend on nothing later.

    Args:
        chance: That a key of the two arms is the candidate's.
        factor: Of the base's values: 1.1 asks whether the candidate's mean is above 1.1 times the
            base's.
    """

    def __init__(self, chance: float, factor: float = 1.0) -> None:
        self._chance = chance
        self._factor = factor
        self._sum, self._count = 0.5, 1
        self.sums = [0.0, 0.0]
        """Of values, by arm: base, candidate."""
        self.counts = [0, 0]
        """Of keys, by arm."""

    def largest(self) -> float:
        """What no observation is beyond, in either direction."""
        return max(1.0, self._factor) / min(self._chance, 1.0 - self._chance)

    def observe(self, value: float, *, of_candidate: bool) -> float:
        """The observation that a key's value, from 0 to 1, makes.

        Returns:
            Within plus and minus `largest`.
        """
        centre = self._sum / self._count
        scaled = value if of_candidate else self._factor * value
        self._sum += scaled
        self._count += 1
        self.sums[of_candidate] += value
        self.counts[of_candidate] += 1
        chance = self._chance if of_candidate else self._chance - 1.0
        return (scaled - centre) / chance
