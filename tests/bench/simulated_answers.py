"""Keys whose answers resemble each other, in arms that drift alike: what experiments are tried on.

A key has a leaning of its own and 1 to some dozen answers; the mean of all swings with time, as a
week does, by more than the effects that are looked for.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from modelmill_experiments.plan import BASE
from modelmill_experiments.sequential_test import Unit

NEW = "new"
SWING, PERIOD = 0.1, 700
"""Of the mean, and after how many keys it comes again."""
LEANING = 0.25
"""Standard deviation of keys around the mean."""
ANSWERS = 5.0
"""Of a key, on average."""

Draw = Callable[[Random, float], float]
"""One value of an answer, from the mean of its key."""


def binary(draw: Random, mean: float) -> float:
    """Yes or no."""
    return float(draw.random() < mean)


def bounded(draw: Random, mean: float) -> float:
    """A score between 0 and 1."""
    return min(1.0, max(0.0, draw.gauss(mean, 0.15)))


def skewed(draw: Random, mean: float) -> float:
    """A cost: most are small, few are ten times as large."""
    return mean * math.exp(draw.gauss(0.0, 0.9))


@dataclass(frozen=True)
class Arms:
    """What two arms answer.

    Attributes:
        metric: That is drawn.
        draw: Of its values.
        mean: Of the base.
        effect: What the candidate adds to the mean.
        share: Of keys that are the candidate's.
        leaning: Spread of keys around the mean.
    """

    metric: str
    draw: Draw
    mean: float
    effect: float = 0.0
    share: float = 0.5
    leaning: float = LEANING

    def keys(self, seed: int) -> Iterator[Unit]:
        """Keys without an end."""
        draw, number = Random(seed), 0
        while True:
            is_new = draw.random() < self.share
            wave = SWING * math.sin(2 * math.pi * number / PERIOD)
            mean = self.mean * (1 + wave) + draw.gauss(0.0, self.leaning * self.mean)
            mean = max(0.01, mean + (self.effect if is_new else 0.0))
            if self.draw is not skewed:
                mean = min(0.99, mean)
            values = [self.draw(draw, mean) for _ in range(answers_of_a_key(draw))]
            said = {self.metric: values, "errors": [0.0] * len(values)}
            yield Unit(NEW if is_new else BASE, said)
            number += 1

    @property
    def shares(self) -> Mapping[str, float]:
        """As a plan has them."""
        return {BASE: 1 - self.share, NEW: self.share}


def answers_of_a_key(draw: Random) -> int:
    """At least one; `ANSWERS` on average."""
    return 1 + int(math.log(1.0 - draw.random()) / math.log(1.0 - 1.0 / ANSWERS))
