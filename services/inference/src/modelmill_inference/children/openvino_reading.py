"""What an OpenVINO build makes of texts that are there already: likelihoods and hidden states.

The continuous-batching pipeline tells neither, so the build is compiled a second time, with these
as its results, when they are first asked for. It computes in full precision, whatever the pipeline
computes in: scores are there to be compared.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from modelmill_inference.children.openvino_forward import ReadingModel, Rows
from modelmill_inference.children.runner import Slices

LOOK_SECONDS = 0.001
DECIMALS = 8
"""Of a vector's values: all that single precision has of numbers below 1."""


class Reader:
    """Reads texts, in slices.

    Args:
        load: as of `openvino.open_pipeline`.
    """

    def __init__(self, load: dict[str, Any]) -> None:
        self._load = load
        self._threads = ThreadPoolExecutor(1)
        self._opened: Future[ReadingModel] | None = None

    def score(self, prompt: list[int], continuations: Rows) -> Slices[list[list[Any]]]:
        """`[log_likelihood, is_greedy]` of each continuation; the prompt is computed once."""
        model = yield from self._model()
        reading = model.begin(len(prompt) + max(map(len, continuations)))
        # The prompt's last token is read with the continuations: what follows it is of interest.
        for _ in reading.read([prompt[:-1]]):
            yield
        groups = list(_groups(continuations, model, len(prompt)))
        begun = reading.keep() if len(groups) > 1 else []
        scores: list[list[Any]] = [[0.0, True] for _ in continuations]
        for turn, group in enumerate(groups):
            if turn:
                reading.go_back(begun, len(prompt) - 1)
            targets = [continuations[number] for number in group]
            rows = [[prompt[-1], *target[:-1]] for target in targets]
            for parts in reading.read(rows, targets):
                for part in parts:
                    score = scores[group[part.row]]
                    score[0] += float(part.logprobs.sum(dtype=np.float64))
                    score[1] = score[1] and bool(part.likeliest.all())
                yield
        return scores

    def score_pairs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Slices[Any]:
        """As `score`, of prompts that have one continuation each, read side by side."""
        model = yield from self._model()
        rows = [[*prompt, *continuation[:-1]] for prompt, continuation in pairs]
        targets = [[0] * (len(prompt) - 1) + list(goal) for prompt, goal in pairs]
        before = [len(prompt) - 1 for prompt, _ in pairs]
        scores: list[list[Any]] = [[0.0, True] for _ in pairs]
        for group in _groups(rows, model, 0):
            wanted = [targets[number] for number in group]
            reading = model.begin(len(rows[group[0]]))
            for parts in reading.read([rows[number] for number in group], wanted):
                for part in parts:
                    number, width = group[part.row], len(part.logprobs)
                    score, skipped = scores[number], before[number]
                    score[0] += float(part.logprobs[skipped:].sum(dtype=np.float64))
                    score[1] = score[1] and bool(part.likeliest[skipped:].all())
                    before[number] = max(0, skipped - width)
                yield
        return scores

    def embed(self, texts: Rows) -> Slices[list[list[float]]]:
        """For each text the mean of its tokens' last hidden states, scaled to length 1."""
        model = yield from self._model()
        vectors: list[list[float]] = [[] for _ in texts]
        for group in _groups(texts, model, 0):
            sums: list[Any] = [0.0] * len(group)
            reading = model.begin(len(texts[group[0]]))
            for parts in reading.read([texts[number] for number in group]):
                for part in parts:
                    sums[part.row] += part.hidden.sum(axis=0, dtype=np.float64)
                yield
            # The scale of the mean and of the sum is the same once the length is 1.
            for number, total in zip(group, sums, strict=True):
                vectors[number] = (total / np.linalg.norm(total)).round(DECIMALS).tolist()
        return vectors

    def _model(self) -> Slices[ReadingModel]:
        """The model, opened in a thread: that takes as long as many steps, but needs no lock."""
        if self._opened is None:
            self._opened = self._threads.submit(ReadingModel, self._load)
        while not self._opened.done():
            time.sleep(LOOK_SECONDS)
            yield
        return self._opened.result()


def _groups(rows: Rows, model: ReadingModel, before: int) -> Iterator[list[int]]:
    """Which to read together, of similar length; `before` tokens stand before each of them."""
    by_length = sorted(range(len(rows)), key=lambda number: -len(rows[number]))
    while by_length:
        side_by_side = model.rows_side_by_side(before + len(rows[by_length[0]]))
        yield by_length[:side_by_side]
        by_length = by_length[side_by_side:]
