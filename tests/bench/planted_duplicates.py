"""Texts with near duplicates of known rates among them, which are near, and who found them."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tests.bench.rival_datasketch import shingles

RATES = (0.01, 0.02, 0.05, 0.10)
"""Shares of the characters that a copy has otherwise; of a short text one character at least."""
SEED = 20
_ALMOST = 1e-9

Pair = tuple[int, int]


@dataclass(frozen=True)
class Planted:
    """Texts, each twice: itself and, behind all of them, an edited copy."""

    texts: list[str]
    copies: dict[Pair, float]
    """Places of a text and its copy, and the rate of its edits."""
    near: frozenset[Pair]
    """All pairs, planted or not, whose shingles are as similar as the threshold says."""

    def near_copies(self, rate: float) -> set[Pair]:
        """The planted pairs of a rate that are near all the same."""
        return {pair for pair, its in self.copies.items() if its == rate} & self.near


@dataclass(frozen=True)
class Found:
    """What a set of leaders found."""

    recall: float
    """Share of the near pairs whose texts have the same leader."""
    precision: float
    """Share of the texts led by another that a chain of near pairs leads there."""
    by_rate: dict[float, float]
    """Recall of the planted pairs that are near, by rate; of rates that have some."""


def plant(originals: Collection[str], threshold: float) -> Planted:
    """Add a copy of each text; rates take turns. Equal texts count once."""
    chance = random.Random(SEED)
    texts = list(dict.fromkeys(originals))
    alphabet = "".join(texts)
    count = len(texts)
    copies = {(place, count + place): RATES[place % len(RATES)] for place in range(count)}
    texts += [edited(texts[place], rate, alphabet, chance) for (place, _), rate in copies.items()]
    near = frozenset(similar_pairs([shingles(text) for text in texts], threshold))
    return Planted(texts, copies, near)


def edited(text: str, rate: float, alphabet: str, chance: random.Random) -> str:
    """The text with a share `rate` of its characters, one at least, replaced by those of others.

    Args:
        text: Not empty.
        alphabet: What the new characters are drawn from, by `chance`.
    """
    characters = list(text)
    for place in chance.sample(range(len(text)), max(1, round(rate * len(text)))):
        characters[place] = chance.choice(alphabet)
    return "".join(characters)


def similar_pairs(sets: Sequence[Collection[str]], threshold: float) -> Iterator[Pair]:
    """All pairs with a Jaccard similarity of at least `threshold`, found exactly.

    Two sets that are so similar have one of their rarest members in common, so only sets that share
    one of these are compared.
    """
    counts = Counter(member for one in sets for member in one)
    by_member: dict[str, list[int]] = defaultdict(list)
    wholes = [frozenset(one) for one in sets]
    for place, one in enumerate(wholes):
        rarest = sorted(one, key=lambda member: (counts[member], member))
        head = rarest[: len(one) - math.ceil(threshold * len(one) - _ALMOST) + 1]
        for other in {other for member in head for other in by_member[member]}:
            both = len(one & wholes[other])
            if both >= threshold * (len(one) + len(wholes[other]) - both) - _ALMOST:
                yield other, place
        for member in head:
            by_member[member].append(place)


def judge(planted: Planted, leaders: Sequence[int]) -> Found:
    """Hold leaders against the truth."""
    found = {pair for pair in planted.near if leaders[pair[0]] == leaders[pair[1]]}
    true_leaders = joined(len(planted.texts), planted.near)
    dropped = [place for place, leader in enumerate(leaders) if leader != place]
    rightly = [place for place in dropped if true_leaders[place] == true_leaders[leaders[place]]]
    by_rate = {}
    for rate in RATES:
        if pairs := planted.near_copies(rate):
            by_rate[rate] = len(pairs & found) / len(pairs)
    recall = len(found) / len(planted.near) if planted.near else 1.0
    return Found(recall, len(rightly) / len(dropped) if dropped else 1.0, by_rate)


def joined(count: int, pairs: Collection[Pair]) -> list[int]:
    """Of each of `count` places the first one that a chain of pairs leads to."""
    leaders = list(range(count))

    def leader(place: int) -> int:
        while leaders[place] != place:
            leaders[place] = leaders[leaders[place]]
            place = leaders[place]
        return place

    for pair in pairs:
        first, second = sorted(map(leader, pair))
        leaders[second] = first
    return [leader(place) for place in range(count)]
