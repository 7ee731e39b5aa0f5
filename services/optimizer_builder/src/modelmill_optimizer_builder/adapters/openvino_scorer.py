"""Scores answer choices by log-likelihood with an OpenVINO IR, in batches."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from modelmill_evaluation.choices import ChoiceQuestion
from numpy.typing import NDArray

from modelmill_optimizer_builder.adapters.choice_search import (
    CANDIDATES,
    BestChoiceSearch,
    log_softmax,
    shared_prefix,
    token_likelihoods,
)
from modelmill_optimizer_builder.adapters.openvino_parity import StatefulModel

BLOCK_TOKENS = 192
"""Prompt tokens per call: enough that reading the weights no longer dominates the time."""


class OpenVinoScorer:
    """Summed log-likelihoods of choices, computed with the precision of serving.

    Three optimizations keep the likeliest choice: the common prefix of all prompts is computed
    once, rows share calls, and a choice is dropped once it cannot win. Its score is then the
    log-likelihood of its first token, an upper bound of its sum.

    Args:
        options: OpenVINO options, in addition to those in the IR.
    """

    def __init__(self, path: Path, options: Mapping[str, str] | None = None) -> None:
        self._model = StatefulModel(path, options)

    def scores(self, questions: Sequence[ChoiceQuestion]) -> Iterator[list[float]]:
        """Scores of the choices of each question, in order."""
        prefix = shared_prefix([question.prompt_ids for question in questions])
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
        search = BestChoiceSearch(block, log_softmax(logits[:, 0]))
        width = mask.shape[1]
        where = list(range(len(block)))  # index in the last batch that has a row's prompt
        follow = CANDIDATES
        while entries := search.next_entries(follow):
            rows = [row for row, _ in entries]
            # Tokens of choices scored earlier stay in the cache; the mask hides them.
            hidden = np.zeros((len(entries), width - mask.shape[1]), np.int64)
            artifacts = np.concatenate([mask[rows], hidden], axis=1)
            added = self._finish(search, entries, artifacts, [where[row] for row in rows])
            where = [rows.index(row) if row in rows else -1 for row in range(len(block))]
            width += added
            follow *= 2
        return search.scores

    def _read(
        self, prompts: Sequence[Sequence[int]], *, start: int, parents: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Prefill what follows `start` shared tokens; logits at each prompt's end, and mask."""
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
        search: BestChoiceSearch,
        entries: Sequence[tuple[int, int]],
        artifacts: NDArray[np.int64],
        parents: Sequence[int],
    ) -> int:
        """Score some choices to their ends; returns the tokens appended to every sequence."""
        texts = [search.block[row].choices[choice] for row, choice in entries]
        # The last token is only predicted.
        ids, _ = _padded([text[:-1] for text in texts])
        count, length = len(ids), len(ids[0])
        begins = np.array([[len(search.block[row].prompt_ids)] for row, _ in entries])
        logits = self._model.run(
            ids,
            mask=np.concatenate([artifacts, np.ones((count, length), np.int64)], axis=1),
            positions=begins + np.arange(length),
            parents=parents,
            pick=np.tile(np.arange(length), (count, 1)),
        )
        for index, ((row, choice), text) in enumerate(zip(entries, texts, strict=True)):
            own = log_softmax(logits[index, : len(text) - 1])
            search.finish(row, choice, float(own[np.arange(len(text) - 1), text[1:]].sum()))
        return length


def text_likelihoods(path: Path, texts: Sequence[Sequence[int]]) -> Iterator[list[float]]:
    """Log-likelihood of each token of each text after its first, as served."""
    model = StatefulModel(path)
    for text in texts:
        model.reset()
        read = np.array([text[:-1]], np.int64)
        places = np.arange(read.shape[1])[None]
        logits = model.run(
            read, mask=np.ones_like(read), positions=places, parents=[0], pick=places
        )
        yield token_likelihoods(logits[0], text[1:])


def _blocks(questions: Sequence[ChoiceQuestion], start: int) -> Iterator[Sequence[ChoiceQuestion]]:
    """Batches of questions, in order, within `BLOCK_TOKENS` when padded; at least one each."""
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
    """The sequences right-padded to one array, and their mask."""
    width = max(len(sequence) for sequence in sequences)
    ids = np.zeros((len(sequences), width), np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask
