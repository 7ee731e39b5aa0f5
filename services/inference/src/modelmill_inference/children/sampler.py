"""Draws tokens from logits, as a function of request and seed only; without torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
Mask = NDArray[np.bool_]

MIN_TEMPERATURE = 0.001
"""Below it logits overflow; 0 is greedy."""
NUCLEUS = 1024
"""Tokens that are sorted at first."""


class Sampler:
    """Samples the tokens of one answer.

    The repetition penalty covers prompt and answer; presence and frequency penalties the answer.
    The cost per token does not depend on the length of the text.
    """

    def __init__(self, add: dict[str, Any], vocabulary: int) -> None:
        self._said = np.zeros(vocabulary, np.bool_)
        self._said[np.asarray(add["prompt"], np.intp)] = True
        self._counts = np.zeros(vocabulary, np.float32)
        self._presence = np.float32(add["presence_penalty"])
        self._frequency = np.float32(add["frequency_penalty"])
        self._repetition = np.float32(add["repetition_penalty"])
        self._temperature = float(add["temperature"])
        if 0 < self._temperature < MIN_TEMPERATURE:
            raise ValueError(f"temperature must be 0 or at least {MIN_TEMPERATURE}")
        self._top_k: int = add["top_k"]
        self._top_p = float(add["top_p"])
        self._random = np.random.Generator(np.random.PCG64(add["seed"]))

    def draw(self, logits: Logits, allowed: Mask | None = None) -> int:
        """Sample a token; `logits` are not changed.

        Args:
            allowed: tokens to draw from; None for all.
        """
        scores = self._penalised(logits)
        if allowed is not None:
            scores[~allowed] = -np.inf
        token = int(scores.argmax()) if self._temperature == 0 else self._drawn(scores)
        self._counts[token] += 1
        self._said[token] = True
        return token

    def _penalised(self, logits: Logits) -> Logits:
        """A copy with all penalties; that of repetition as in transformers."""
        scores = logits.copy()
        if self._repetition != 1:
            said = scores[self._said]
            weaker = np.where(said < 0, said * self._repetition, said / self._repetition)
            scores[self._said] = weaker
        if self._presence or self._frequency:
            scores -= self._presence * (self._counts > 0) + self._frequency * self._counts
        return scores

    def _drawn(self, scores: Logits) -> int:
        """A token by its probability, of those that top_k and top_p leave."""
        if 0 < self._top_k < len(scores):
            left = np.sort(np.argpartition(scores, -self._top_k)[-self._top_k :])
        else:
            left = np.arange(len(scores))
        likely = scores[left].astype(np.float64) / self._temperature
        chances = np.exp(likely - likely.max())
        if self._top_p != 1:
            kept = nucleus(chances, self._top_p)
            left, chances = left[kept], chances[kept]
        sums = chances.cumsum()
        place = int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))
        return int(left[min(place, len(left) - 1)])


def nucleus(chances: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Places of the likeliest, so many that together they have the share `top_p`."""
    wanted = top_p * chances.sum()
    for count in (NUCLEUS, len(chances)):
        # Seldom more are needed, and to sort a whole vocabulary takes longer than all the rest.
        some = count < len(chances)
        places = np.argpartition(-chances, count)[:count] if some else np.arange(len(chances))
        places = places[np.lexsort((places, -chances[places]))]
        own = chances[places]
        kept = own.cumsum() - own < wanted
        if not (some and kept.all()):
            break
    kept[0] = True
    found: NDArray[np.intp] = places[kept]
    return found


def log_softmax(logits: Logits) -> Logits:
    """Log-probabilities along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Logits = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def row_of(logits: Logits, token: int, alternatives: int) -> list[Any]:
    """`[logprob, [[token, logprob], ...]]` from unmodified logits."""
    logprobs = log_softmax(logits.astype(np.float64))
    count = min(alternatives, len(logprobs))
    likely = np.argpartition(logprobs, -count)[-count:] if count else np.zeros(0, np.intp)
    likely = likely[np.lexsort((likely, -logprobs[likely]))]
    pairs = [[int(each), float(logprobs[each])] for each in likely]
    return [float(logprobs[token]), pairs]
