"""Which choices of a question can still be the likeliest, whatever computes their likelihoods."""

from collections.abc import Sequence

import numpy as np
from modelmill_evaluation.choices import ChoiceQuestion
from numpy.typing import NDArray

CANDIDATES = 4
"""Choices of a row scored to their ends first; a trained model's answer is among them."""


class BestChoiceSearch:
    """Choices of each row of a block that can still be the likeliest."""

    def __init__(self, block: Sequence[ChoiceQuestion], first: NDArray[np.float32]) -> None:
        self.block = block
        self.scores = [
            [float(first[row, text[0]]) for text in question.choices]
            for row, question in enumerate(block)
        ]
        self._best = [-np.inf] * len(block)
        self._open: list[list[int]] = []
        for row, question in enumerate(block):
            order = np.argsort(self.scores[row])[::-1].tolist()
            self._open.append([c for c in order if len(question.choices[c]) > 1])
            ended = [self.scores[row][c] for c in order if len(question.choices[c]) == 1]
            self._best[row] = max(ended, default=-np.inf)

    def next_entries(self, count: int) -> list[tuple[int, int]]:
        """Up to `count` choices of each row to score next, as (row, choice).

        The right one is always scored: its likelihood is a figure.
        """
        entries = []
        for row, waiting in enumerate(self._open):
            right = self.block[row].answer
            able = [
                choice
                for choice in waiting
                if choice == right or self.scores[row][choice] >= self._best[row]
            ]
            entries += [(row, choice) for choice in able[:count]]
            self._open[row] = able[count:]
        return entries

    def finish(self, row: int, choice: int, rest: float) -> None:
        """Add the log-likelihood of all tokens after the first."""
        self.scores[row][choice] += rest
        self._best[row] = max(self._best[row], self.scores[row][choice])


def shared_prefix(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Common prefix of all prompts, leaving each at least one token."""
    if not prompts:
        return ()
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return first[:length]


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-probabilities along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def token_likelihoods(logits: NDArray[np.float32], tokens: Sequence[int]) -> list[float]:
    """Log-likelihood of each token, from the [tokens, vocabulary] logits before it."""
    chosen: list[float] = log_softmax(logits)[np.arange(len(tokens)), tokens].tolist()
    return chosen
