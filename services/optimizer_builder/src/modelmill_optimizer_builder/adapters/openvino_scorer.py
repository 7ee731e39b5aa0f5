"""How likely each choice is after each prompt, by an OpenVINO IR, many rows at a time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from modelmill_evaluation.choices import ChoiceQuestion
from numpy.typing import NDArray

from modelmill_optimizer_builder.adapters.stateful_model import StatefulModel

BLOCK_TOKENS = 192
"""Prompt tokens read in one call: enough that reading the weights is no longer what takes time."""
CANDIDATES = 4
"""Choices of a row that are finished first; a trained model has its answer among them."""


class OpenVinoScorer:
    """Summed log-likelihoods of choices, computed with the precision that serving has.

    Three savings, none of which changes which choice is likeliest: what all prompts begin with is
    read once; rows share calls; and a choice is followed only while it can still win. The score of
    one that cannot is its first token's log-likelihood, which its sum cannot exceed.

    Args:
        options: Of OpenVINO, beside those that the IR carries.
    """

    def __init__(self, path: Path, options: Mapping[str, str] | None = None) -> None:
        self._model = StatefulModel(path, options)

    def scores(self, questions: Sequence[ChoiceQuestion]) -> Iterator[list[float]]:
        """For each question in turn, one score for each of its choices."""
        prefix = _shared_prefix([question.prompt_ids for question in questions])
        state = None
        if prefix:
            self._model.reset()
            self._read([prefix], start=0, parents=[0])
            state = self._model.save_state()
        for block in _blocks(questions, len(prefix)):
            if state is None:
                self._model.reset()
                parents = list(range(len(block)))
            else:
                self._model.restore_state(state)
                parents = [0] * len(block)
            yield from self._score_block(block, len(prefix), parents)

    def _score_block(
        self, block: Sequence[ChoiceQuestion], start: int, parents: Sequence[int]
    ) -> list[list[float]]:
        rest = [question.prompt_ids[start:] for question in block]
        logits, mask = self._read(rest, start=start, parents=parents)
        race = _Race(block, _log_softmax(logits[:, 0]))
        width = mask.shape[1]
        where = list(range(len(block)))  # sequence of the last call that holds a row's prompt
        follow = CANDIDATES
        while entries := race.next_entries(follow):
            rows = [row for row, _ in entries]
            # What earlier calls appended is other choices' text; it is hidden, not removed.
            hidden = np.zeros((len(entries), width - mask.shape[1]), np.int64)
            known = np.concatenate([mask[rows], hidden], axis=1)
            added = self._finish(race, entries, known, [where[row] for row in rows])
            where = [rows.index(row) if row in rows else -1 for row in range(len(block))]
            width += added
            follow *= 2
        return race.scores

    def _read(
        self, prompts: Sequence[Sequence[int]], *, start: int, parents: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Read what comes after `start` shared tokens; logits at each prompt's end, and mask."""
        ids, own = _padded(prompts)
        mask = np.concatenate([np.ones((len(prompts), start), np.int64), own], axis=1)
        logits = self._model.run(
            ids,
            mask=mask,
            positions=np.tile(np.arange(start, start + ids.shape[1]), (len(prompts), 1)),
            parents=parents,
            pick=np.array([[len(prompt) - 1] for prompt in prompts]),
        )
        return logits, mask

    def _finish(
        self,
        race: "_Race",
        entries: Sequence[tuple[int, int]],
        known: NDArray[np.int64],
        parents: Sequence[int],
    ) -> int:
        """Score some choices to their ends; how many tokens that appended to every sequence."""
        texts = [race.block[row].choices[choice] for row, choice in entries]
        # The last token is predicted, never read.
        ids, _ = _padded([text[:-1] for text in texts])
        count, length = len(ids), len(ids[0])
        begins = np.array([[len(race.block[row].prompt_ids)] for row, _ in entries])
        logits = self._model.run(
            ids,
            mask=np.concatenate([known, np.ones((count, length), np.int64)], axis=1),
            positions=begins + np.arange(length),
            parents=parents,
            pick=np.tile(np.arange(length), (count, 1)),
        )
        for index, ((row, choice), text) in enumerate(zip(entries, texts, strict=True)):
            own = _log_softmax(logits[index, : len(text) - 1])
            race.finish(row, choice, float(own[np.arange(len(text) - 1), text[1:]].sum()))
        return length


class _Race:
    """Which choices of each row of a block can still be the likeliest."""

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
        """Up to `count` choices of each row to follow next, as (row, choice)."""
        entries = []
        for row, waiting in enumerate(self._open):
            able = [choice for choice in waiting if self.scores[row][choice] >= self._best[row]]
            entries += [(row, choice) for choice in able[:count]]
            self._open[row] = able[count:]
        return entries

    def finish(self, row: int, choice: int, rest: float) -> None:
        """Add the log-likelihood of all tokens but the first."""
        self.scores[row][choice] += rest
        self._best[row] = max(self._best[row], self.scores[row][choice])


def _shared_prefix(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What all prompts begin with, leaving each at least one token of its own."""
    if not prompts:
        return ()
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return first[:length]


def _blocks(questions: Sequence[ChoiceQuestion], start: int) -> Iterator[Sequence[ChoiceQuestion]]:
    """Questions in order, as many together as fit when padded to the longest; at least one."""
    block: list[ChoiceQuestion] = []
    width = 0
    for question in questions:
        width_with = max(width, len(question.prompt_ids) - start)
        if block and width_with * (len(block) + 1) > BLOCK_TOKENS:
            yield block
            block, width_with = [], len(question.prompt_ids) - start
        block.append(question)
        width = width_with
    if block:
        yield block


def _padded(sequences: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sequences as one array, short ones filled at the end, and where they are real."""
    width = max(len(sequence) for sequence in sequences)
    ids = np.zeros((len(sequences), width), np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
